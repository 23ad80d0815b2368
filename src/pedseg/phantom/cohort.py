"""Cohorts of synthetic cases on disk: whole cases only, the same bytes whoever makes them, and resumable."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.files import read_json, temporary_of, write_json
from pedseg.labels import CONVENTIONS, Modality, Region, regions_from_labels
from pedseg.locks import is_lock
from pedseg.phantom import anatomy, contrast, sizes, tumour
from pedseg.phantom.noise import case_generator
from pedseg.phantom.shifts import ADULTS, SHIFTS, Traits

NOTE = "SYNTHETIC.json"
GENERATOR = 4  # raise it whenever the same settings give other images
_FIRST = 90001
_NAMES: Mapping[str, str] = {"adult": "BraTS-GLI-{:05d}-000", "ped": "BraTS-PED-{:05d}-000"}
_LABEL = "seg"
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What determines the bytes of a cohort's cases.

    Attributes:
        cohort: "adult" or "ped".
        spacing: voxel size in mm.
        seed: of everything random.
        labelled: whether label files are written.
        shift: one of `SHIFTS`; it tells what children are like and leaves adults alone.
    """

    cohort: str
    spacing: float
    seed: int
    labelled: bool = True
    shift: str = "A"

    @property
    def traits(self) -> Traits:
        """What the tumours are like."""
        return ADULTS if self.cohort == "adult" else SHIFTS[self.shift].children

    def case_id(self, index: int) -> str:
        """Id of case `index`, counted from 0."""
        return _NAMES[self.cohort].format(_FIRST + index)


@dataclass(frozen=True, slots=True)
class PhantomCase:
    """A case in memory.

    Attributes:
        images: raw images (X, Y, Z) int16 on the whole field of view.
        label: voxel labels (X, Y, Z) uint8 in the brats2023 convention.
        site: where the tumour comes from.
        grid: voxels to world.
    """

    images: Mapping[Modality, NDArray[np.int16]]
    label: NDArray[np.uint8]
    site: str
    grid: anatomy.Grid


def build_case(atlas: anatomy.Atlas, settings: CohortSettings, index: int) -> PhantomCase:
    """Make case `index` (from 0) of a cohort; it depends on nothing but the settings and its index."""
    cohort, traits = settings.cohort, settings.traits
    shape_rng, tumour_rng, contrast_rng = (
        case_generator(seed=settings.seed, cohort=cohort, index=index, purpose=purpose)
        for purpose in ("shape", "tumour", "contrast")
    )
    draws = sizes.uniform_draws(cohort=cohort, seed=settings.seed, index=index)
    drawn = sizes.draw_sizes(sizes.size_model(traits.population), draws)
    name, site = tumour.choose_site(traits.anatomy, float(draws[3]))
    centre = tumour.choose_centre(site, atlas, tumour_rng)
    grid = anatomy.brats_grid(settings.spacing)
    brain = anatomy.make_anatomy(atlas, grid, shape_rng, bulge=tumour.mass_effect(centre, drawn, tumour_rng))
    label = tumour.grow_tumour(brain, drawn, tumour_rng, rim=traits.anatomy == "adult", centre=centre)
    images = contrast.render(brain, label, contrast_rng, appearance=traits.appearance)
    full = {modality: _into_field(image, brain, grid) for modality, image in images.items()}
    return PhantomCase(full, _into_field(label, brain, grid), name, grid)


def _into_field(values: NDArray[_T], brain: anatomy.Anatomy, grid: anatomy.Grid) -> NDArray[_T]:
    field = np.zeros(grid.shape, dtype=values.dtype)
    field[brain.box] = values
    return field


def make_cohort(
    folder: Path,
    settings: CohortSettings,
    *,
    cases: int,
    first: int = 0,
    workers: int = 1,
) -> Iterator[str]:
    """Write cases `first` … `first` + `cases` - 1 that are not there yet, and yield the id of each one that is there.

    Args:
        folder: of the cohort; created.
        settings: of the cohort; written beside the cases.
        cases: how many the cohort shall have.
        first: index of its first one; cohorts of the same settings and other indices have no case in common.
        workers: processes; 1 works in this one.

    Raises:
        PedsegError: the folder holds a cohort of other settings or files that are not a synthetic cohort.
    """
    _claim(folder, settings)
    wanted = range(first, first + cases)
    missing = [i for i in wanted if not is_complete(folder, settings, i)]
    yield from (settings.case_id(i) for i in sorted(set(wanted) - set(missing)))
    yield from _run(folder, settings, missing, workers=workers)


def _claim(folder: Path, settings: CohortSettings) -> None:
    wanted = {"generator": GENERATOR, **asdict(settings)}
    note = folder / NOTE
    if note.exists():
        found = read_json(note).get("settings")
        if found != wanted:
            raise PedsegError(
                f"{note}: the cohort was made with {found}, not {wanted}; choose another folder or remove it"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(not is_lock(path) for path in folder.iterdir())):
        raise PedsegError(f"{folder}: not empty and no synthetic cohort ({NOTE} is missing); choose another folder")
    about = "Synthetic images made by pedseg.phantom on the MNI152 anatomy. Not patients."
    write_json(note, {"synthetic": True, "about": about, "settings": wanted})


def _run(folder: Path, settings: CohortSettings, indices: Sequence[int], *, workers: int) -> Iterator[str]:
    workers = min(workers, len(indices))
    if workers <= 1:
        for index in indices:
            yield write_case(folder, settings, index)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(write_case, folder, settings, index) for index in indices]
        for job in as_completed(jobs):
            try:
                yield job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def case_files(settings: CohortSettings, index: int) -> list[str]:
    """Names of the files of a complete case."""
    parts = [*Modality, *([_LABEL] if settings.labelled else [])]
    return [f"{settings.case_id(index)}-{part}.nii.gz" for part in parts]


def is_complete(folder: Path, settings: CohortSettings, index: int) -> bool:
    """Whether every file of case `index` is there."""
    case = folder / settings.case_id(index)
    return all((case / name).is_file() for name in case_files(settings, index))


def write_case(folder: Path, settings: CohortSettings, index: int) -> str:
    """Make and write case `index`, and return its id; its folder appears when it is whole."""
    case = build_case(anatomy.load_atlas(settings.spacing), settings, index)
    arrays: list[NDArray[Any]] = [*(case.images[modality] for modality in Modality), case.label]
    target = folder / settings.case_id(index)
    temporary = temporary_of(target)
    temporary.mkdir()
    try:
        for name, array in zip(case_files(settings, index), arrays, strict=False):
            (temporary / name).write_bytes(_nifti_bytes(array, case.grid))
        if target.exists():
            shutil.rmtree(target)  # what an interrupted copy left
        os.replace(temporary, target)  # noqa: PTH105  (also replaces on every platform)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target.name


def _nifti_bytes(array: NDArray[Any], grid: anatomy.Grid) -> bytes:
    image = nib.Nifti1Image(array, grid.affine)
    image.set_sform(grid.affine, code="scanner")
    image.set_qform(grid.affine, code="scanner")
    image.header.set_xyzt_units("mm", "sec")
    compressed: bytes = igzip.compress(image.to_bytes(), 1, mtime=0)
    return compressed


def measure_cohort(
    folder: Path, settings: CohortSettings, *, cases: int, first: int = 0
) -> dict[Region, NDArray[np.float64]]:
    """Volumes in mm³ of each region in the label files of `cases` cases from index `first` on."""
    rows = []
    for index in range(first, first + cases):
        path = folder / settings.case_id(index) / case_files(settings, index)[-1]
        label = np.asarray(nib.load(path).dataobj)
        rows.append(regions_from_labels(label, CONVENTIONS["brats2023"]).sum(axis=(1, 2, 3)) * settings.spacing**3)
    table = np.array(rows, dtype=float).reshape(-1, len(Region))
    return {region: table[:, column] for column, region in enumerate(Region)}
