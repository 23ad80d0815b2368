"""A case and the patient it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.errors import PedsegError, Problem
from pedseg.labels import Modality


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
        lacking: sequences that none of them has.
        lone_labels: the label of each case that has no image; it is a problem, but for those who need no image.
    """

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]
    lacking: tuple[Modality, ...] = ()
    lone_labels: Mapping[str, Path] = field(default_factory=dict)

    def check_sequences(self, folder: Path, *, cohort: str) -> None:
        """Refuse a cohort of other sequences as a whole, before each of its cases is refused by itself.

        Raises:
            PedsegError: no case has a sequence that networks here read.
        """
        if self.lacking and not self.cases:
            found = [modality for modality in Modality if modality not in self.lacking]
            raise PedsegError(
                f"cohort {cohort!r} in {folder}: no case has {' or '.join(self.lacking)}; found are {', '.join(found)}"
                f", and networks here read {', '.join(Modality)}. Add the sequence; or train on cohorts that have all "
                "of them with data.drop_modality=0.2, and predict these cases with `pedseg predict --allow-missing`"
            )
