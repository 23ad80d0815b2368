"""What decides the prepared arrays of a cohort, and by what a prepared case is known.

A prepared case is known by its key, a hash of name, size and modification time of its files and of the settings. The
contents are not hashed: that would read 13 GB of BraTS before finding that there is nothing to do.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pedseg.cases import Case
from pedseg.data.store import FORMAT
from pedseg.labels import LabelConvention


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What decides the prepared arrays of a cohort.

    Attributes:
        cohort: its name.
        labelled: whether labels are prepared.
        convention: of its voxel labels; None to detect it (or for an unlabelled cohort).
        spacing_mm: voxel size (z, y, x) to resample to; None keeps the input's.
        background: value at or below which voxels are background; None: those that are 0.
        ignored: voxel labels that the cohort's dataset.json says are ignored, which the convention has to ignore.
    """

    cohort: str
    labelled: bool
    convention: LabelConvention | None
    spacing_mm: tuple[float, float, float] | None
    background: float | None = None
    ignored: frozenset[int] = frozenset()

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        c = self.convention if self.labelled else None
        labels = {} if c is None else {key: list(v) for key, v in c.by_meaning.items() if v}
        tissues = None if c is None else {"name": c.name, **labels}
        spacing = None if self.spacing_mm is None else list(self.spacing_mm)
        record = {"format": FORMAT, "labelled": self.labelled, "convention": tissues, "spacing_mm": spacing}
        return record | self.background_record

    @property
    def labels(self) -> str:
        """What is prepared of labels, in words."""
        return f"labels {self.convention}" if self.labelled else "no labels"

    @property
    def background_record(self) -> dict[str, float]:
        """The background where one is set, so that older stores are those without."""
        return {} if self.background is None else {"background": self.background}


def key_of(case: Case, settings: CohortSettings) -> str:
    """Hash of a case's files (name, size, time of change) and of the settings; a label counts if it is prepared."""
    files = [image.path for image in case.images] + ([case.label] if case.label and settings.labelled else [])
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists()]
    volumes = [image.volume for image in case.images]
    record = {"files": stats, "volumes": volumes, "spacing_mm": settings.record()["spacing_mm"], "format": FORMAT}
    return hashlib.sha256(json.dumps(record | settings.background_record).encode()).hexdigest()
