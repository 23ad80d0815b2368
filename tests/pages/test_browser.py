"""Pages in a real browser: quiet, alone, usable by keyboard, and sortable."""

import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pedseg.cases import find_cases
from pedseg.ownership import record
from pedseg.pages import viewing
from pedseg.pages.render import write_page
from pedseg.pages.server import PageServer
from pedseg.pages.viewing import Viewer
from pedseg.pages.volumes import view_case
from tests.pages import browser
from tests.pages.documents import HOSTILE, document
from tests.pages.test_viewing import NEEDS_NIIVUE
from tests.reporting.worlds import CONVENTION, write_children

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


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Viewer:
    """Two children with labels and the predictions of two models."""
    folder = tmp_path_factory.mktemp("children")
    write_children(folder / "ped", ["BraTS-PED-00000-000", "BraTS-PED-00001-000"])
    found = find_cases(folder / "ped", cohort="ped", labelled=True).cases
    models = {HOSTILE[0]: found[0].label, "1*": found[1].label}
    predictions = {name: path for name, path in models.items() if path is not None}
    return Viewer("Two cases", [view_case(case, predictions, convention=CONVENTION, note=HOSTILE[1]) for case in found])


def shot(page: Any) -> NDArray[np.uint8]:
    """What the canvas shows (height, width, 3), once it is drawn."""
    page.wait_for_selector("#view-canvas[data-state=shown]")
    page.wait_for_timeout(300)
    png = page.locator("#view-canvas").screenshot()
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def of_colour(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """Pixels of a colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 12).sum())


@NEEDS_NIIVUE
def test_the_viewer_shows_what_is_chosen(cases: Viewer, tmp_path: Path) -> None:
    place = write_page(document(tmp_path, cases), tmp_path)[-1]
    with browser.opened(place) as (page, told):
        first = shot(page)
        assert first.std() > 10  # not blank
        assert (first > 0).any(axis=2).mean() > 0.1
        assert page.locator("#view-note").inner_text().startswith(HOSTILE[1])
        assert page.locator("#view-model option").all_inner_texts() == [HOSTILE[0], "1*"]
        page.locator("#view-planes").select_option("0")
        page.locator("#view-opacity").fill("1")
        tissues = shot(page)
        assert min(of_colour(tissues, colour) for colour in ((0, 114, 178), (230, 159, 0), (0, 158, 115))) > 50
        page.locator("#view-overlay").select_option("")
        bare = shot(page)
        assert of_colour(bare, (230, 159, 0)) == 0
        page.locator("#view-image").select_option("T1")
        assert (shot(page) != bare).any()
        page.locator("#view-case").select_option("1")
        second = shot(page)
        assert (second != bare).any(axis=2).mean() > 0.02
        page.locator("#view-overlay").select_option("errors")
        assert of_colour(shot(page), (213, 94, 0)) > 20  # missed: the prediction is another child's label
        before = page.locator("#view-place").inner_text()
        page.locator("#view-canvas").focus()
        page.keyboard.press("PageUp")
        page.wait_for_timeout(200)
        assert page.locator("#view-place").inner_text() != before
        bar = page.locator("#view-bar").bounding_box()
        assert bar is not None
        assert 20 < bar["width"] < 600
        if browser.axe() is not None:
            assert browser.violations(page) == []
    assert told.complaints == []
    assert told.foreign == []
    assert sorted(url.rpartition("/")[2] for url in told.asked) == ["index.html", "niivue.js"]


@NEEDS_NIIVUE
def test_volumes_beside_the_page_are_served(cases: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "EMBEDDED", 0)
    written = write_page(document(tmp_path, cases), tmp_path)
    with browser.opened(written[-1]) as (page, told):  # from the disk it says what to do
        assert "pedseg view DIR" in page.locator("#view-linked").inner_text()
        assert page.locator("#view-canvas").get_attribute("data-state") == "failed"
    assert told.complaints == []
    record(tmp_path, written)
    with PageServer(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.opened(server.address) as (page, told):
            assert shot(page).std() > 10
            assert page.locator("#view-linked").is_hidden()
        server.shutdown()
    assert told.complaints == []
    assert told.foreign == []
    assert all(f"/{server.token}/" in url for url in told.asked)
    assert any(url.endswith("/volumes/000_00.nii.gz") for url in told.asked)
