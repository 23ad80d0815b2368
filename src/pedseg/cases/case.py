"""A case and the patient it belongs to."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.errors import PedsegError, Problem, Severity
from pedseg.labels import Modality

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A 3-D image: a file of its own, or one volume of a 4-D file (Decathlon).

    Attributes:
        path: the NIfTI file.
        volume: index along the fourth axis; None for a 3-D file.
        absent: whether the sequence is missing, and stands as zeros on the grid of this file of the same case.
    """

    path: Path
    volume: int | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One imaging session.

    Attributes:
        id: unique in its cohort and usable as a file name.
        patient: the person; several cases may share it.
        cohort: name of the data set.
        images: one per modality, in the order of `pedseg.labels.Modality`.
        label: the label file; None in an unlabelled cohort.
    """

    id: str
    patient: str
    cohort: str
    images: tuple[ImageFile, ...]
    label: Path | None

    @property
    def missing(self) -> tuple[Modality, ...]:
        """Sequences that it lacks."""
        return tuple(modality for modality, image in zip(Modality, self.images, strict=True) if image.absent)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a folder holds.

    Attributes:
        cases: the complete ones, in the order of their ids.
        problems: what is wrong with the others, likewise.
        lacking: sequences that none of them has, and label if none has one that must.
        lone_labels: the label of each case that has no image; it is a problem, but for those who need no image.
        remarks: what is worth saying and keeps no case from being used.
        ignored: voxel labels that a dataset.json says are ignored.
    """

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]
    lacking: tuple[str, ...] = ()
    lone_labels: Mapping[str, Path] = field(default_factory=dict)
    remarks: tuple[Problem, ...] = ()
    ignored: frozenset[int] = frozenset()

    def check_sequences(self, folder: Path, *, cohort: str) -> None:
        """Refuse a cohort of other sequences, or without labels, as a whole, before each of its cases is.

        Raises:
            PedsegError: no case has a sequence that networks here read, or none has a label and each must.
        """
        lacking = [modality for modality in Modality if modality in self.lacking]
        if lacking and not self.cases:
            found = [modality for modality in Modality if modality not in lacking]
            raise PedsegError(
                f"cohort {cohort!r} in {folder}: no case has {' or '.join(lacking)}; found are {', '.join(found)}"
                f", and networks here read {', '.join(Modality)}. Add the sequence; or train on cohorts that have all "
                "of them with data.drop_modality=0.2, and predict these cases with `pedseg predict --allow-missing`"
            )
        if self.lacking and not self.cases:
            raise PedsegError(
                f"cohort {cohort!r} in {folder}: no case has a label{self._hint()}; add the labels (of nnU-Net's data "
                f"sets labelsTr beside imagesTr), or set data.cohorts.{cohort}.labelled=false if it has none"
            )

    def _hint(self) -> str:
        """What was seen in place of labels."""
        seen = [remark.file for remark in self.remarks if remark.file]
        return f" that is known as one (seen: {', '.join(seen)[:200]})" if seen else ""

    def say(self) -> None:
        """Log what is worth a warning, for commands that show no table of findings."""
        for remark in self.remarks:
            if remark.severity is Severity.WARNING:
                logger.warning("%s", remark)
