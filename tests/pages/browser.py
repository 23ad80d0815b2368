"""A real Chromium without a window, for tests of pages: what it says, asks for and shows.

``apt install chromium`` and ``pip install playwright`` (in the extra ``dev``) bring what it needs; `why_not` tells what
is absent. ``PEDSEG_CHROMIUM`` names another browser. axe-core is read from ``PEDSEG_AXE``, or from
``node_modules/axe-core/axe.min.js``, where ``npm install axe-core`` puts it.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SWITCHES = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
LOCAL = ("file:", "data:", "blob:", "http://127.0.0.1:")


def chromium() -> str | None:
    """The browser, if there is one."""
    return os.environ.get("PEDSEG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def why_not() -> str:
    """What is absent, and how to get it; nothing if all is there."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    return "" if chromium() else "there is no Chromium: apt install chromium, or PEDSEG_CHROMIUM=/path/to/chrome"


def axe() -> Path | None:
    """The script of axe-core, if there is one."""
    found = Path(os.environ.get("PEDSEG_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
    return found if found.is_file() else None


@dataclass(slots=True)
class Told:
    """What a page gave away.

    Attributes:
        complaints: errors and warnings of the console, and uncaught ones.
        foreign: addresses of other hosts that were asked for.
        asked: all addresses but those of data.
    """

    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def opened(address: str | Path, **settings: Any) -> Iterator[tuple[Any, Told]]:
    """Open a page; yield it (playwright's ``Page``) and what it tells meanwhile."""
    from playwright.sync_api import sync_playwright

    url = address.resolve().as_uri() if isinstance(address, Path) else address
    told = Told()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=SWITCHES)
        page = browser.new_page(**settings)
        page.on("console", lambda m: told.complaints.append(m.text) if _matters(m) else None)
        page.on("pageerror", lambda error: told.complaints.append(str(error)))
        page.on("request", lambda request: _note(told, request.url))
        page.goto(url)
        yield page, told
        browser.close()


def _matters(message: Any) -> bool:
    """Whether a line of the console is the page's: the software renderer's remarks on its own speed are not."""
    return message.type in ("error", "warning") and "GPU stall" not in message.text and "GL Driver" not in message.text


def _note(told: Told, url: str) -> None:
    if not url.startswith(("data:", "blob:")):
        told.asked.append(url)
    if not url.startswith(LOCAL):
        told.foreign.append(url)


def violations(page: Any) -> list[str]:
    """Serious and critical findings of axe-core."""
    script = axe()
    assert script is not None
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
