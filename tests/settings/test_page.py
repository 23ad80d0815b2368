"""The reference page of the settings is whole and fresh."""

from pathlib import Path

import pytest

from pedseg.settings.keys import Key, root
from pedseg.settings.page import page, sentence, words
from pedseg.settings.run import PrepareSettings, RunSettings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == f"{page()}\n", "make tables writes it again"


def every_key(key: Key) -> list[Key]:
    return [below for child in key.children() for below in (child, *every_key(child))]


@pytest.mark.parametrize("model", [RunSettings, PrepareSettings])
def test_every_key_has_a_sentence_and_a_kind(model: type[RunSettings] | type[PrepareSettings]) -> None:
    keys = every_key(root(model))
    assert len(keys) > 20
    for key in keys:
        assert sentence(key).endswith("."), key.name
        assert words(key.annotation) or key.group or list(key.children()) or key.name.endswith("<name>"), key.name


def test_keys_are_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in (
        "data.cohorts.<name>.folder",
        "trainer.max_time",
        "lr_schedule.exponent",
        "variant.<name>.adapt_rate",
        "check",
    ):
        assert f"| `{name}` |" in text
