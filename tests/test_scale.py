"""The work of a cohort grows with its cases and no faster: files are counted, not seconds."""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from pedseg.cases import find_cases
from pedseg.commands.evaluate import main as evaluate
from pedseg.commands.prepare import main as prepare
from pedseg.commands.report import main as report
from pedseg.data import CohortStore, select_cases
from pedseg.data.cohorts import cases_of
from pedseg.evaluation.pairing import Pair
from pedseg.evaluation.postprocessing.keep_largest import HeldOut
from pedseg.evaluation.postprocessing.runs import pool
from pedseg.labels import get_convention
from tests.builders import AFFINE, write_case
from tests.composed import write_config

SIZES = (5, 10, 20)  # cases of each cohort
SHAPE = (12, 11, 10)
SPACING_MM = (1.0, 1.01**0.5, 1.01**0.5)  # of the affine
_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.scandir", "os.listdir"):
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def opened(below: Path) -> Iterator[list[str]]:
    """Paths below a folder that Python opens or lists in the block, as often as it does."""
    global _opened  # noqa: PLW0603  (an audit hook cannot be taken away)
    found: list[str] = []
    _opened = []
    try:
        yield found
    finally:
        found += [path for path in _opened if path.startswith(str(below))]
        _opened = None


def write_world(world: Path, cases: int) -> None:
    """Adults and children with labels, and a run that has predicted the children."""
    fold = world / "runs" / "uda" / "fold_all"
    rows = []
    for number in range(cases):
        for cohort in ("GLI", "PED"):
            name = f"BraTS-{cohort}-{number:05d}-000"
            folder = write_case(world / cohort, name, shape=SHAPE, seed=2 * number + (cohort == "PED"))
            label = np.zeros(SHAPE, dtype=np.uint8)
            for value, size in ((2, 6), (1, 4), (3, 3)):
                label[(slice(3, 3 + size),) * 3] = value
            nib.save(nib.Nifti1Image(label, AFFINE), folder / f"{name}-seg.nii.gz")
        (fold / "predictions").mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.roll(label, number % 2), AFFINE), fold / "predictions" / f"{name}.nii.gz")
        rows += [{"case": name, "region": r, "dice": 1 / (2 + number), "hd95_mm": number} for r in ("wt", "tc", "et")]
    pd.DataFrame(rows).to_csv(fold / "scores.csv", index=False)
    cohort_settings = {"folder": str(world / "PED"), "labelled": True, "convention": "brats2023"}
    data = {"synthetic": True, "evaluation": "ped", "cohorts": {"ped": cohort_settings}, "target": ["ped"]}
    write_config(fold, run_name="uda", data=data)


def start_training(store: Path, children: Path) -> None:
    """Which cases train, where they are, and what the store says of each."""
    ids = {cohort: CohortStore(store / cohort).case_ids for cohort in ("adult", "ped")}
    chosen = select_cases(ids, fold=0, source={"adult": "fold"}, target={"ped": "fold"}, evaluation=["ped"])
    cohort = CohortStore(store / "adult")
    for case in chosen.source_train["adult"]:
        assert cohort.open(case).spacing_mm == pytest.approx(SPACING_MM)
    assert cases_of(children, chosen.evaluation["ped"], cohort="ped")


def count(world: Path) -> dict[str, int]:
    """Files opened and folders listed by each command, in this process."""
    predictions, output = world / "runs" / "uda" / "fold_all" / "predictions", world / "scores.csv"
    paths = [f"paths.adult={world / 'GLI'}", f"paths.ped={world / 'PED'}", f"paths.store={world / 'store'}"]
    preparing = [*paths, "workers=1", "data.cohorts.adult.convention=brats2023"]
    scoring = ["--predictions", str(predictions), "--labels", str(world / "PED"), "--output", str(output)]
    commands: dict[str, Callable[[], int | None]] = {
        "check": lambda: prepare([*preparing, "--check"]),
        "prepare": lambda: prepare(preparing),
        "prepare again": lambda: prepare(preparing),
        "start of training": lambda: start_training(world / "store", world / "PED"),
        "evaluate": lambda: evaluate([*scoring, "--workers", "1"]),
        "report": lambda: report([str(world / "runs"), "--output", str(world / "report"), "--view", "3"]),
    }
    counts = {}
    for name, command in commands.items():
        with opened(world) as found:
            assert not command(), name
        counts[name] = len(found)
    return counts


@pytest.mark.slow
def test_files_are_opened_in_proportion_to_the_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pedseg.reporting.figures.style.RESOLUTION", 20)
    counts: list[dict[str, int]] = []
    for cases in SIZES:
        world = tmp_path / f"{cases} cases"
        write_world(world, cases)
        counts.append(count(world))
    for name in counts[0]:
        first, second = ((b[name] - a[name]) / (m - n) for (a, n), (b, m) in pairwise(zip(counts, SIZES, strict=True)))
        assert first == second, f"{name}: {first} files for a further case, then {second}"
    per_case = {name: (counts[1][name] - counts[0][name]) / (SIZES[1] - SIZES[0]) for name in counts[0]}
    assert per_case["check"] == 2 * (1 + 5)  # of an adult and a child: the folder and its five files
    assert per_case["start of training"] == 1  # the folder of a case that may be evaluated
    assert per_case["evaluate"] == 1 + 2 * 2  # the folder; label and label map, for their values first, then for scores
    assert per_case["report"] == 2  # the folder, with the label and without


@pytest.mark.slow
def test_models_share_the_search_for_their_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pedseg.reporting.figures.style.RESOLUTION", 20)
    listed = []
    for models in (1, 3):
        world = tmp_path / f"{models} models"
        write_world(world, SIZES[0])
        for number in range(1, models):
            shutil.copytree(world / "runs" / "uda", world / "runs" / f"model{number}")
        with opened(world / "PED") as found:
            assert report([str(world / "runs"), "--output", str(world / "report")]) == 0
        listed.append([path for path in found if path.endswith("PED")])
    assert len(listed[0]) == len(listed[1]) > 0


class CountedName(str):
    """A name that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        type(self).comparisons += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


def held_out(names: Sequence[str]) -> HeldOut:
    pairs = [Pair(name, Path(f"{name}.nii.gz"), Path(f"{name}-seg.nii.gz")) for name in names]
    return HeldOut("adult", pairs, get_convention("brats2023"))


def test_folds_are_pooled_without_comparing_every_two_cases() -> None:
    comparisons = []
    for cases in (100, 200):
        CountedName.comparisons = 0
        names = [CountedName(f"case-{number}") for number in range(cases)]
        assert len(pool([held_out(names[::2]), held_out(names[1::2])])[0].pairs) == cases
        comparisons.append(CountedName.comparisons)
    assert comparisons[1] < 3 * max(comparisons[0], 200)  # a comparison of every two would be four times as many


def test_cases_are_found_by_listing_each_folder_once(tmp_path: Path) -> None:
    for number in range(SIZES[0]):
        write_case(tmp_path, f"case-{number}", shape=SHAPE)
    with opened(tmp_path) as found:
        find_cases(tmp_path, cohort="adult", labelled=False)
    assert len(found) == len(set(found)) == SIZES[0] + 1
