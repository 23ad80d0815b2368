"""A page with something of every kind, whose names come from someone who means harm."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pedseg.pages.document import Document, KeyNumber, Picture, Section
from pedseg.pages.tables import BEST, Cell, Table, number
from pedseg.pages.viewing import Viewer
from pedseg.reporting.figures.style import save

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}",
    "</script><svg onload=alert(1)>",
    "a\u202eb",
)


def scores(names: tuple[str, ...] = HOSTILE) -> Table:
    """A row for each name."""
    rows = [[Cell(name), number(0.5 + 0.07 * ((5 * place) % 6), 3)] for place, name in enumerate(names)]
    rows.append([Cell("none"), number(float("nan"), 3, mark=BEST)])
    return Table("scores", f"Caption of {names[0]}", ["model", "Dice"], rows, ["a note"])


def picture(folder: Path) -> Picture:
    """A chart with its data."""
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0, 1])
    data = pd.DataFrame({"model": list(HOSTILE), "dice": 0.5})
    return save(figure, folder / "figures" / "a chart", caption=f"A chart of {HOSTILE[1]}, n = 6", data=data)


def document(folder: Path, viewer: Viewer | None = None) -> Document:
    """The page."""
    sections = [
        Section("Tables & more", [f"Text of {HOSTILE[0]}"], [HOSTILE[1]], tables=[scores()]),
        Section("Cases", viewer=viewer),
        Section("Charts", pictures=[picture(folder)], notes=[HOSTILE[3]]),
        Section("Nothing"),
    ]
    numbers = [KeyNumber("Dice of TC", "0.832", HOSTILE[2]), KeyNumber("WT lost", "+0.011", "n = 6")]
    return Document(f"A page of {HOSTILE[0]}", sections, ["What to know"], numbers, synthetic=True)
