"""The page as text: what is in it, and that names are nothing but text."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pedseg.pages.document import Document, Section
from pedseg.pages.render import html, write_page
from tests.pages.documents import HOSTILE, document, scores


class Reader(HTMLParser):
    """Collects tags, attributes and text, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("a page")
    reader = Reader()
    reader.feed(html(document(folder), folder=folder))
    return reader


def test_hostile_names_are_text(page: Reader) -> None:
    names = [name for name, _ in page.tags]
    assert names.count("script") == 1  # its own
    assert names.count("img") == 1
    assert "svg" not in names
    assert not any(attribute.startswith("on") for _, found in page.tags for attribute in found)
    text = "".join(page.texts)
    for name in HOSTILE[:-1]:
        assert name in text
    assert r"a\u202eb" in text  # what turns the reading around is shown


def test_nothing_is_asked_of_a_host(page: Reader) -> None:
    links = [found[name] for _, found in page.tags for name in ("src", "href") if name in found]
    assert links
    assert all(link.startswith(("data:", "#", "figures/")) for link in links)
    (policy,) = [found["content"] for name, found in page.tags if found.get("http-equiv")]
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[\w+/]+=*'$", policy)  # no script but the page's own


def test_figures_and_their_data_are_in_the_page(page: Reader) -> None:
    (shown,) = [found["src"] for name, found in page.tags if name == "img"]
    assert base64.b64decode(shown.partition(",")[2]).lstrip().startswith(b"<?xml")
    found = {one["download"]: one["href"] for name, one in page.tags if name == "a" and "download" in one}
    assert set(found) == {"scores.csv", "a chart.csv"}
    data = base64.b64decode(found["a chart.csv"].partition(",")[2]).decode()
    assert data.startswith("model,dice\n<script>")
    files = [one["href"] for name, one in page.tags if name == "a" and one["href"].startswith("figures/")]
    assert files == [f"figures/a%20chart.{ending}" for ending in ("svg", "pdf", "png", "csv")]


def test_empty_sections_are_left_out(page: Reader) -> None:
    assert [found["id"] for name, found in page.tags if name == "section"] == ["tables-more", "charts"]


def test_the_same_document_is_the_same_page(tmp_path: Path) -> None:
    one = Document("A title", [Section("Scores", tables=[scores()])])
    (path,) = write_page(one, tmp_path)
    before = path.read_bytes()
    write_page(one, tmp_path)
    assert path.read_bytes() == before
    assert "Made by pedseg" in path.read_text()
    assert "not for clinical decisions" in path.read_text()
