"""Preparation that is killed, continued, and fed with folders that change."""

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.commands import prepare as entry
from pedseg.data import store as layout
from pedseg.data.checking import settle_convention
from pedseg.data.cohort_settings import CohortSettings
from pedseg.data.parallel import default_workers, run_parallel, shared_processes
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.labels import CONVENTIONS, CaseEvidence, get_convention

KILL_IN_THIRD_CASE = """
import os, signal, sys
from pedseg.commands import prepare
from pedseg.data import preparation
write, calls = preparation.write_array, []
def write_or_die(path, array):
    calls.append(path)
    if len(calls) == 6:  # the label of the third case: its image is written already
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, array)
preparation.write_array = write_or_die
prepare.main(sys.argv[1:])
"""


@pytest.fixture
def overrides(toy_world: Path, tmp_path: Path) -> list[str]:
    """Prepare a copy of the children only."""
    shutil.copytree(toy_world / "ped", tmp_path / "ped")
    paths = [f"paths.ped={tmp_path / 'ped'}", f"paths.store={tmp_path / 's'}"]
    return ["scale=toy", "workers=1", "~data.cohorts.adult", *paths]


def times(store: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob(f"ped/cases/*/{layout.IMAGE}")}


def test_a_killed_preparation_shows_no_part_of_a_case_and_is_continued(overrides: list[str], tmp_path: Path) -> None:
    store = tmp_path / "s"
    killed = subprocess.run([sys.executable, "-c", KILL_IN_THIRD_CASE, *overrides], capture_output=True, check=False)
    assert killed.returncode == -9
    whole = {path.name for path in (store / "ped" / "cases").glob("[!.]*")}
    assert len(whole) == 2
    with pytest.raises(PedsegError, match="only in part"):
        CohortStore(store / "ped")
    leftovers = list((store / "ped" / "cases").glob(".*"))
    assert len(leftovers) == 1
    os.utime(leftovers[0], (0, 0))  # an old one, as the next day
    before = {name: time for name, time in times(store).items() if name in whole}
    assert entry.main(overrides) == 0
    assert len(CohortStore(store / "ped").case_ids) == 6
    assert {name: time for name, time in times(store).items() if name in whole} == before
    assert not leftovers[0].exists()


def test_cases_that_vanish_are_named_and_kept_for_later(
    overrides: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert entry.main(overrides) == 0
    before = times(tmp_path / "s")
    gone = CohortStore(tmp_path / "s" / "ped").case_ids[2]
    (tmp_path / "ped" / gone).rename(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING, "pedseg.data.preparation"):
        handler = caplog.handler
        logging.getLogger("pedseg.data.preparation").addHandler(handler)  # Hydra replaces the root's
        assert entry.main(overrides) == 0
        logging.getLogger("pedseg.data.preparation").removeHandler(handler)
    assert gone in caplog.text
    assert gone not in CohortStore(tmp_path / "s" / "ped").case_ids
    (tmp_path / "elsewhere").rename(tmp_path / "ped" / gone)
    assert entry.main(overrides) == 0
    assert gone in CohortStore(tmp_path / "s" / "ped").case_ids
    assert times(tmp_path / "s") == before


def test_a_problem_later_on_leaves_the_store_as_it_was(overrides: list[str], tmp_path: Path) -> None:
    assert entry.main(overrides) == 0
    files = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    bad = next((tmp_path / "ped").rglob("*t1c.nii.gz"))
    bad.write_bytes(bad.read_bytes()[:-30])
    assert entry.main(overrides) == 2
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    assert list(run_parallel(abs, [-3, 1, -2], workers=workers, description="test")) == [3, 1, 2]
    assert 1 <= default_workers() <= 16


def process_of(item: int) -> int:
    del item
    return os.getpid()


def test_calls_may_share_their_processes() -> None:
    def processes() -> set[int]:
        return set(run_parallel(process_of, range(6), workers=2, description="test"))

    with shared_processes(2):
        shared = processes() | processes()
    assert os.getpid() not in shared
    assert len(shared) <= 2
    assert shared.isdisjoint(processes())


def test_what_prepares_a_case_loads_no_framework() -> None:
    program = "import sys, pedseg.data.preparation; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert {"torch", "lightning", "monai", "sklearn", "pandas"}.isdisjoint(loaded)


def test_what_a_dataset_json_ignores_is_not_read_as_something_else(caplog: pytest.LogCaptureFixture) -> None:
    settings = CohortSettings(
        "clinic", labelled=True, convention=CONVENTIONS["brats_gli2024"], spacing_mm=None, ignored=frozenset({4})
    )
    evidence = [CaseEvidence({1: 9, 4: 9}, {1: 0.0, 4: 3.0}) for _ in range(2)]
    with pytest.raises(PedsegError, match=r"label 4 is ignored, which the convention brats_gli2024.*ignore: 4"):
        settle_convention(settings, [CaseEvidence({1: 9, 3: 9, 4: 9}, {})])
    ignoring = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": 4})
    assert settle_convention(replace(settings, convention=ignoring), evidence) == ignoring
    assert "no other label than 1 occurs in 2 cases" in caplog.text  # beside what is ignored


def test_a_label_that_stands_alone_is_said_to_be_no_whole_tumour(caplog: pytest.LogCaptureFixture) -> None:
    """A cohort in which the whole tumour is outlined as label 1 would be taken for one of cores."""
    settings = CohortSettings("clinic", labelled=True, convention=CONVENTIONS["brats2023"], spacing_mm=None)
    alone, other = (CaseEvidence({label: 9}, {label: 0.0}) for label in (1, 2))
    assert settle_convention(settings, [alone, other]) == settle_convention(settings, [alone]) == settings.convention
    assert not caplog.text
    settle_convention(settings, [alone, alone])
    assert "cohort clinic: no other label than 1 occurs in 2 cases" in caplog.text
    assert "labelled=false" in caplog.text
