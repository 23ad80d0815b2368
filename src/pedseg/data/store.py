"""Prepared cohorts on disk: random patches of normalised images and region masks.

``<store>/<cohort>/index.json`` names the folder of every case; it is written last, so a cohort without it is not
complete. A case's folder holds ``image.b2nd`` and, in a labelled cohort only, ``label.b2nd`` and ``foreground.npy``.
Each of them is compared with its digest in the index when it is first used (`pedseg.data.seals`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.data.encoding import OUTSIDE, open_array, read_box, unpack_image, unpack_masks
from pedseg.data.records import Index, StoredConvention, StoredFile
from pedseg.data.seals import MEND, check_file, check_presence, read_sealed
from pedseg.errors import PedsegError
from pedseg.imaging.copies import Identity
from pedseg.labels import MEANINGS, LabelConvention, Region

FORMAT = 1  # raised whenever files of an older version would be misread
INDEX = "index.json"
CASES = "cases"
IMAGE = "image.b2nd"
LABEL = "label.b2nd"
FOREGROUND = "foreground.npy"
DIGESTS = "digests"  # key of an entry: what the images of the case are known by


@dataclass(frozen=True)
class StoredCase:
    """One prepared case. Its files are opened when they are first read.

    Attributes:
        id: of the case.
        patient: whose it is.
        folder: of its files.
        shape: (d, h, w) of the cropped image.
        spacing_mm: voxel size (z, y, x).
        labelled: whether there is a label.
        mean: of each channel inside the brain.
        std: of each channel inside the brain.
        foreground_counts: stored voxels per region; empty without label.
        ignored_voxels: voxels of which the label does not say what they are.
        files: what each of its files was when it was written; empty in stores of before digests.
        compared: paths of the files that have been found to be so in this process.
    """

    id: str
    patient: str
    folder: Path
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    labelled: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    foreground_counts: tuple[int, ...]
    ignored_voxels: int = 0
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    compared: set[Path] = field(default_factory=set, compare=False, repr=False)

    def check_presence(self, *, label: bool) -> None:
        """Whether the files of the image, and those of the label if it is wanted, are there in their sizes.

        Raises:
            PedsegError: one is not.
        """
        for name in (IMAGE, LABEL, FOREGROUND) if label else (IMAGE,):
            check_presence(self.folder / name, self.files.get(name))

    def read_image(self, start: Sequence[int], size: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a box of the z-scored image (C, d, h, w) and its brain mask (1, d, h, w).

        Args:
            start: first voxel (z, y, x); may be negative.
            size: voxels per axis; where the box leaves the volume, image and mask are 0.

        Raises:
            PedsegError: the file is damaged.
        """
        array = self._image
        packed = read_box(array, start, size, fill=OUTSIDE if array.dtype == np.int16 else 0)
        image, brain = unpack_image(
            packed, mean=np.asarray(self.mean, np.float32), std=np.asarray(self.std, np.float32)
        )
        return image, brain[None]

    @property
    def ignores(self) -> bool:
        """Whether its label has ignored voxels."""
        return self.ignored_voxels > 0

    def read_label(self, start: Sequence[int], size: Sequence[int], *, ignored: bool = False) -> NDArray[np.uint8]:
        """Read a box of the region masks (3, d, h, w), 0 outside the volume, which is background and not ignored.

        Args:
            start: first voxel (z, y, x); may be negative.
            size: voxels per axis.
            ignored: whether a fourth mask follows, that of the ignored voxels.

        Raises:
            PedsegError: the cohort was prepared without labels, or the file is damaged.
        """
        self._need_label()
        return unpack_masks(read_box(self._label, start, size, fill=0), ignored=ignored)

    def foreground(self, region: Region) -> NDArray[np.int32]:
        """Voxels (N, 3) as (z, y, x) drawn from a region at preparation; N is 0 where the region is absent.

        Raises:
            PedsegError: the cohort was prepared without labels, or the file is damaged.
        """
        self._need_label()
        place = list(Region).index(region)
        first = sum(self.foreground_counts[:place])
        return self._foreground[first : first + self.foreground_counts[place]].astype(np.int32)

    def _need_label(self) -> None:
        if not self.labelled:
            raise PedsegError(
                f"{self.folder}: the cohort was prepared without labels; prepare it with labelled=true to train on them"
            )

    def _compared(self, name: str) -> Path:
        """A file of the case that is as it was written; looked at once in each process."""
        path = self.folder / name
        if name in self.files and path not in self.compared:
            check_file(path, self.files[name])
            self.compared.add(path)
        return path

    @cached_property
    def _image(self) -> Any:  # noqa: ANN401  (blosc2 is not typed)
        return self._of_shape(open_array(self._compared(IMAGE)), IMAGE)

    @cached_property
    def _label(self) -> Any:  # noqa: ANN401
        return self._of_shape(open_array(self._compared(LABEL)), LABEL)

    @cached_property
    def _foreground(self) -> NDArray[np.int16]:
        path = self._compared(FOREGROUND)
        try:
            voxels: NDArray[np.int16] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise PedsegError(f"{path}: cannot be read ({error}); {MEND}") from error
        if voxels.shape != (sum(self.foreground_counts), len(self.shape)):
            raise PedsegError(f"{path}: holds {voxels.shape} numbers, which is another case's; {MEND}")
        return voxels

    def _of_shape(self, array: Any, name: str) -> Any:  # noqa: ANN401
        channels = {IMAGE: (len(self.mean) + (array.dtype != np.int16),), LABEL: ()}[name]
        if array.shape != (*channels, *self.shape):
            raise PedsegError(f"{self.folder / name}: is {array.shape}, and not {(*channels, *self.shape)}; {MEND}")
        return array


class CohortStore:
    """One prepared cohort. It can be pickled, so that loader workers receive it by either start method.

    Args:
        folder: ``<store>/<cohort>``.

    Raises:
        PedsegError: nothing was prepared there, preparation did not finish, or another version wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        index = self._read_index()
        self.cohort = index.cohort
        self.labelled = index.labelled
        self.convention = _convention(index.convention)
        self.input_folder = Path(index.input_folder)
        self._cases = index.cases
        self._compared: set[Path] = set()
        self.case_ids: tuple[str, ...] = tuple(sorted(self._cases))

    @property
    def identities(self) -> list[Identity]:
        """What the cases are known by; those that an older version has prepared, by their patient alone."""
        return [Identity(case_id, case.patient, case.digests or ()) for case_id, case in self._cases.items()]

    @property
    def knows_copies(self) -> bool:
        """Whether every case is known by its images."""
        return all(case.digests is not None for case in self._cases.values())

    @property
    def axes(self) -> frozenset[str]:
        """Directions in which voxels of its images are stored, such as LPS; those that an older version has told."""
        return frozenset(case.axes for case in self._cases.values()) - {""}

    @property
    def patients(self) -> dict[str, str]:
        """Patient of each case, as preparation knew it."""
        return {case_id: case.patient for case_id, case in self._cases.items()}

    def open(self, case_id: str) -> StoredCase:
        """Return a case without touching its files.

        Raises:
            PedsegError: the cohort has no such case.
        """
        if case_id not in self._cases:
            raise PedsegError(
                f"{self.folder}: has no case {case_id!r} among {len(self._cases)}; add its files to "
                f"{self.input_folder} and run `pedseg prepare` again"
            )
        case = self._cases[case_id]
        return StoredCase(
            id=case_id,
            patient=case.patient,
            folder=self.folder / CASES / case.folder,
            shape=case.shape,
            spacing_mm=case.spacing_mm,
            labelled=self.labelled,
            mean=case.mean,
            std=case.std,
            foreground_counts=case.foreground_counts,
            ignored_voxels=case.ignored_voxels,
            files=case.files,
            compared=self._compared,
        )

    def _read_index(self) -> Index:
        path = self.folder / INDEX
        if not path.is_file():
            state = "was prepared only in part" if (self.folder / CASES).is_dir() else "was not prepared"
            raise PedsegError(f"{self.folder}: this cohort {state}; run `pedseg prepare` (see its --help)")
        index = read_sealed(path)
        found = index.get("format") if isinstance(index, dict) else None
        if found != FORMAT:
            raise PedsegError(
                f"{path}: has format {found}, this version reads {FORMAT}; run `pedseg prepare overwrite=true`"
            )
        return Index.of(index, where=path, fix=MEND)


def _convention(said: StoredConvention | None) -> LabelConvention | None:
    return None if said is None else LabelConvention(said.name, **{name: getattr(said, name) for name in MEANINGS})
