"""The page of a prediction: volumes, previews and a viewer of cases that nobody has labelled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pedseg.cases import Case
from pedseg.inference.cases import PROBABILITIES
from pedseg.labels import LabelConvention
from pedseg.pages import RESEARCH
from pedseg.pages.document import Document, KeyNumber, Picture, Section
from pedseg.pages.render import write_page
from pedseg.pages.tables import Cell, Table, count, number
from pedseg.pages.viewing import ViewedCase, Viewer
from pedseg.pages.volumes import view_case
from pedseg.reporting.figures.slices import PREVIEW, preview_figure
from pedseg.reporting.figures.style import save
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import SYNTHETIC

MM3_PER_ML = 1000
NETWORK = "network"  # in the viewer
EXPECTED = (
    "Images are expected as BraTS prepares them: the four sequences on one grid, near 1 mm, brain alone (0 outside). "
    "A public tool that makes them from clinical images is the PyPI package brainles-preprocessing. "
    "What does not look like it is refused or warned of when a case is read."
)
VOLUMES = (
    "Volumes of the predicted regions (WT holds TC, TC holds ET), and their 26-connected components. Small components "
    "far from the largest are often none of the tumour."
)


@dataclass(frozen=True, slots=True)
class Predicted:
    """Cases without labels, and what was predicted of them.

    Attributes:
        cases: one at least.
        label_maps: by case.
        convention: of their labels.
        volumes: rows of `pedseg.evaluation.volumes.measure_volumes`.
        how: sentences on what made the label maps.
        synthetic: whether the cases are.
    """

    cases: Sequence[Case]
    label_maps: Mapping[str, Path]
    convention: LabelConvention
    volumes: pd.DataFrame
    how: Sequence[str]
    synthetic: bool

    def write(self, folder: Path, *, most: int) -> list[Path]:
        """Write the page, with previews and the viewer of the first cases, and return the paths.

        Raises:
            PedsegError: a file cannot be read.
        """
        pictures = list(self.draw(self.cases[:most], folder / "figures"))
        written = write_page(self.document(self.viewer(self.cases[:most]), pictures), folder)
        return [*written, *(file for picture in pictures for file in picture.files)]

    @property
    def mark(self) -> str:
        """What is added to titles and captions where the data are synthetic."""
        return f" ({SYNTHETIC})" if self.synthetic else ""

    def draw(self, cases: Sequence[Case], folder: Path) -> Iterator[Picture]:
        """Draw each case on three planes."""
        for place, case in enumerate(cases):
            figure = preview_figure(case, self.label_maps[case.id], convention=self.convention)
            yield save(figure, folder / f"preview_{place:03}", caption=f"{case.id}: {PREVIEW}{self.mark}")

    def viewer(self, cases: Sequence[Case]) -> Viewer | None:
        """The cases in 3-D."""
        if not cases:
            return None
        viewed = [self._view(case) for case in cases]
        return Viewer(f"The first {len(viewed)} cases. Sequences in 256 greys, cut to the brain.{self.mark}", viewed)

    def _view(self, case: Case) -> ViewedCase:
        path = self.label_maps[case.id]
        beside = path.parent / PROBABILITIES / path.name
        sure = {NETWORK: beside} if beside.exists() else {}
        return view_case(case, {NETWORK: path}, convention=self.convention, probabilities=sure)

    def document(self, viewer: Viewer | None, previews: Sequence[Picture]) -> Document:
        """Compose the page."""
        tumours = self.volumes.loc[self.volumes["region"] == "wt", "volume_mm3"]
        numbers = [
            KeyNumber("Cases", str(len(self.cases)), f"{int((tumours == 0).sum())} without any predicted tumour"),
            *(_median(self.volumes, region) for region in ("wt", "tc", "et")),
        ]
        sections = [
            Section("Volumes", tables=[volumes_table(self.volumes, caption=f"{VOLUMES}{self.mark}")]),
            Section("Look at cases", viewer=viewer),
            Section("Previews", pictures=previews),
            Section("How it was made", [EXPECTED], self.how),
        ]
        lead = ["The cases have no labels here: nothing on this page says how good the label maps are."]
        title = f"Predicted tumours{self.mark}"
        return Document(title, sections, lead, numbers, synthetic=self.synthetic, warning=RESEARCH)


def volumes_table(volumes: pd.DataFrame, *, caption: str) -> Table:
    """A row per case: volume in ml, components and largest component of each region."""
    heads = ["case", *(f"{region.upper()} (ml)" for region in REGIONS)]
    heads += [f"{region.upper()} components" for region in REGIONS]
    heads += [f"{region.upper()} largest (ml)" for region in REGIONS]
    rows = []
    for case, found in volumes.groupby("case", sort=False):
        one = {str(row["region"]): row for row in found.to_dict("records")}
        sizes, largest = (
            [number(one[region][name] / MM3_PER_ML, 2) for region in REGIONS] for name in ("volume_mm3", "largest_mm3")
        )
        rows.append([Cell(str(case)), *sizes, *(count(one[region]["components"]) for region in REGIONS), *largest])
    return Table("volumes", caption, heads, rows)


def _median(volumes: pd.DataFrame, region: str) -> KeyNumber:
    found = volumes.loc[volumes["region"] == region, "volume_mm3"] / MM3_PER_ML
    ends = f"{found.min():.1f} to {found.max():.1f} ml" if len(found) else ""
    return KeyNumber(f"Median volume of {region.upper()} (ml)", number(float(found.median()), 1).text, ends)
