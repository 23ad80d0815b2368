"""Pages as HTML: one file with style, script, figures and their data in it, which asks no host for anything."""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.files import write_text
from pedseg.pages import PAGE, SCRIPT
from pedseg.pages.document import Document, Picture, Section
from pedseg.pages.tables import Table
from pedseg.pages.viewing import described, write_viewer
from pedseg.sinks import csv_text, terminal


def write_page(document: Document, folder: Path) -> list[Path]:
    """Write index.html, and what its viewer needs, into a folder; return the paths.

    Where NiiVue is not installed, the page says how to get it in place of the viewer.
    """
    written = []
    missing = ""
    for section in document.sections:
        if section.viewer:
            try:
                written += write_viewer(section.viewer, folder)
            except PedsegError as error:
                missing = f"{str(error)[0].upper()}{str(error)[1:]}, then make the page again."
    write_text(folder / PAGE, html(document, folder=folder, no_viewer=missing))
    return [*written, folder / PAGE]


def html(document: Document, *, folder: Path, no_viewer: str = "") -> str:
    """The page; files are linked relative to `folder`.

    Args:
        document: what it says; text of unknown origin is nothing but text.
        folder: where it is going to lie.
        no_viewer: sentence in place of the viewer, if there cannot be one.
    """
    sections = [section for section in document.sections if not section.empty]
    viewers = [section.viewer for section in sections if section.viewer and not no_viewer]
    scripts = [_asset("page.js"), *([_asset("viewer.js")] if viewers else [])]
    text = _environment(folder).get_template("page.html").render(
        document=document,
        sections=sections,
        anchors={section.title: _anchor(section) for section in sections},
        style=_asset("page.css"),
        scripts=scripts,
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        niivue=SCRIPT if viewers else "",
        linked=any(not viewer.embedded for viewer in viewers),
        viewer_data=described(viewers[0]) if viewers else None,
        no_viewer=no_viewer,
        version=__version__,
    )  # fmt: skip
    return terminal(text)


def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=PackageLoader("pedseg.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "svg": lambda picture: f"data:image/svg+xml;base64,{_base64(picture.svg.read_bytes())}",
        "csv_link": _csv_link,
        "relative": lambda path: quote(path.relative_to(folder).as_posix()),
    }
    return environment


def _csv_link(source: Table | Picture) -> str:
    """The data of a table or figure as a link that works without its file."""
    if isinstance(source, Table):
        table = pd.DataFrame([[cell.text for cell in row] for row in source.rows], columns=list(source.heads))
    else:
        assert source.data is not None  # noqa: S101  (the template asks for figures that have data)
        table = source.data
    return f"data:text/csv;charset=utf-8;base64,{_base64(csv_text(table).encode('utf-8'))}"


def _anchor(section: Section) -> str:
    return re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")


def _asset(name: str) -> str:
    return files("pedseg.pages").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names a script that may run."""
    return _base64(hashlib.sha256(text.encode("utf-8")).digest())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
