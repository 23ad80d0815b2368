"""What a page says: numbers first, then sections of text, tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pedseg.pages.tables import Table
from pedseg.pages.viewing import Viewer


@dataclass(frozen=True, slots=True)
class KeyNumber:
    """One of the numbers that matter.

    Attributes:
        title: what it is.
        value: as it is shown.
        note: what it is compared with, and of how many cases.
    """

    title: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in its files.

    Attributes:
        svg: shown on the page; files of other kinds lie beside it under the same name.
        caption: what it shows, of how many cases.
        data: what is drawn, a row per mark; None for images.
        also: further files beside it.
    """

    svg: Path
    caption: str
    data: pd.DataFrame | None = None
    also: Sequence[Path] = field(default=())

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [self.svg, *self.also]

    @property
    def name(self) -> str:
        """Of the picture; unique on a page."""
        return self.svg.stem


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under a title.

    Attributes:
        title: unique on a page.
        paragraphs: text before anything else.
        points: a list after it.
        tables: in their order.
        pictures: after the tables.
        viewer: of cases; at most one on a page.
        notes: text after everything else.
    """

    title: str
    paragraphs: Sequence[str] = field(default=())
    points: Sequence[str] = field(default=())
    tables: Sequence[Table] = field(default=())
    pictures: Sequence[Picture] = field(default=())
    viewer: Viewer | None = None
    notes: Sequence[str] = field(default=())

    @property
    def empty(self) -> bool:
        """Whether nothing would stand under the title."""
        return not (self.paragraphs or self.points or self.tables or self.pictures or self.viewer or self.notes)


@dataclass(frozen=True, slots=True)
class Document:
    """A page.

    Attributes:
        title: of the page.
        lead: what is to be known first.
        numbers: those that matter.
        sections: empty ones are left out.
        synthetic: whether any of its data are.
        warning: sentence that stands at the top of the page.
        footer: how the page was made.
    """

    title: str
    sections: Sequence[Section]
    lead: Sequence[str] = field(default=())
    numbers: Sequence[KeyNumber] = field(default=())
    synthetic: bool = False
    warning: str = ""
    footer: str = ""
