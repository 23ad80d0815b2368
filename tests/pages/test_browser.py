"""Pages in a real browser: quiet, alone, usable by keyboard, and sortable."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.pages.render import write_page
from tests.pages import browser
from tests.pages.documents import HOSTILE, document

pytestmark = pytest.mark.skipif(bool(browser.why_not()), reason=browser.why_not() or "all is there")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a page with spaces")
    return write_page(document(folder), folder)[-1]


def column(page: Any, place: int) -> list[str]:
    """Texts of a column of the rows that are shown."""
    cells: list[str] = page.locator(f"#table-scores tbody tr:visible td:nth-child({place})").all_inner_texts()
    return cells


def test_a_page_is_quiet_alone_and_sorts(place: Path) -> None:
    with browser.opened(place) as (page, told):
        before = column(page, 2)
        page.get_by_role("button", name="Dice").focus()
        page.keyboard.press("Enter")
        ascending = column(page, 2)
        assert ascending == [*sorted(before[:-1]), "–"]
        assert before != ascending
        page.keyboard.press("Enter")
        assert column(page, 2) == [*sorted(before[:-1], reverse=True), "–"]  # what is absent stays last
        assert page.locator("th[aria-sort=descending]").inner_text().startswith("Dice")
        page.get_by_label("Filter").fill("OWNED </SCRIPT>")
        assert column(page, 1) == [HOSTILE[0]]
        assert page.locator("[data-count=scores]").inner_text() == "1 of 7 rows"
        assert page.title() == f"A page of {HOSTILE[0]}"  # and not what its scripts would make of it
        assert page.locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
    assert told.complaints == []
    assert told.foreign == []
    assert told.asked == [place.resolve().as_uri()]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 360), ("dark", 360)])
def test_it_is_accessible_on_every_screen(place: Path, scheme: str, width: int) -> None:
    with browser.opened(place, color_scheme=scheme, viewport={"width": width, "height": 700}) as (page, _):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        if browser.axe() is None:
            pytest.skip("axe-core is absent: npm install axe-core, or PEDSEG_AXE=/path/to/axe.min.js")
        assert browser.violations(page) == []


def test_the_keyboard_reaches_the_content_first(place: Path) -> None:
    with browser.opened(place) as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#content"
