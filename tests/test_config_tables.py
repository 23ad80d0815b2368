"""Tables of pages are those that conf/ gives today."""

from pathlib import Path

import pytest

from pedseg.settings.conf import first_comment
from tests.composed import experiments, files
from tests.config_tables import MARKED, TABLES, chosen, pages, rewritten
from tests.methods import settings_of


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_table_is_stale(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert rewritten(text) == text, "run make tables"


def test_every_table_is_on_a_page() -> None:
    found = [match[2] for page in pages() for match in MARKED.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(TABLES)


@pytest.mark.parametrize("group", ["adaptation", "experiment", "model"])
def test_every_file_says_what_it_is(group: str) -> None:
    assert all(len(first_comment(group, name)) > 20 for name in files(group))


def test_a_stale_table_is_seen() -> None:
    marked = "a\n<!-- table of methods, by make tables -->\nold\n<!-- end of the table -->\nb\n"
    assert rewritten(marked).count("\n") > 14
    assert "old" not in rewritten(marked)
    assert rewritten(rewritten(marked)) == rewritten(marked)


def test_what_an_experiment_chooses_is_what_it_gets() -> None:
    """The options that a file names, or the one that it extends, give the methods that are composed."""
    for name, config in experiments().items():
        named = {method for option in chosen(name, "adaptation") for method in settings_of(option)}
        assert named == set(config["adaptation"])
