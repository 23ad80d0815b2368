"""Folds of prepared cohorts follow what is said of patients now, and a run keeps the folds that it began with."""

from pathlib import Path

import pytest

from pedseg.assembly import select, with_table_noted
from pedseg.cases import patient_of
from pedseg.data.store import FORMAT
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.settings.run import RunSettings
from tests.composed import settings

CASES = [f"scan{number:02d}" for number in range(20)]


def prepare(store: Path, **patients: str) -> None:
    """Indices of two prepared cohorts of cases whose ids name no patient."""
    for cohort in ("adult", "ped"):
        entry = {"shape": [8, 8, 8], "spacing_mm": [1, 1, 1], "mean": [0], "std": [1], "foreground_counts": []}
        cases = {
            f"{cohort}{case}": {**entry, "folder": case, "patient": patients.get(case, f"{cohort}{case}")}
            for case in CASES
        }
        index = {"format": FORMAT, "cohort": cohort, "labelled": True, "convention": None, "cases": cases}
        write_json(store / cohort / "index.json", {**index, "input_folder": "/data"})


def write_table(path: Path, shift: int) -> None:
    """Two sessions each, of other people with every `shift`."""
    rows = [f"{c}{case},{c}{(n + shift) // 2}" for c in ("adult", "ped") for n, case in enumerate(CASES)]
    path.write_text("\n".join(["case,patient", *rows]))


def run(store: Path, *overrides: str) -> RunSettings:
    return settings("experiment=uda", f"data.store={store}", *overrides)


def sides(chosen: RunSettings, shift: int) -> tuple[set[int], set[int]]:
    """Adults that train and those that are held out."""
    selection = select(chosen)
    parts = (selection.source_train["adult"], selection.source_validation["adult"])
    first, second = ({(int(case[-2:]) + shift) // 2 for case in part} for part in parts)
    return first, second


def test_a_changed_table_takes_effect_without_preparing_again(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert set.intersection(*sides(run(tmp_path), 0))  # ids alone tear sessions apart
    chosen = run(tmp_path, f"folds.patients={tmp_path / 'who.csv'}")
    for shift in (0, 1):
        write_table(tmp_path / "who.csv", shift)
        assert not set.intersection(*sides(chosen, shift))
    selection = select(run(tmp_path, "folds.patients='([0-9])$'"))
    train, validation = (
        {case[-1] for case in part["adult"]} for part in (selection.source_train, selection.source_validation)
    )
    assert (len(train), len(validation), train & validation) == (8, 2, set())


def test_patients_known_at_preparation_are_kept_together(tmp_path: Path) -> None:
    prepare(tmp_path, **{case: f"P{number // 2}" for number, case in enumerate(CASES)})
    assert not set.intersection(*sides(run(tmp_path), 0))
    assert patient_of(CASES[0]) == CASES[0]


def test_a_run_keeps_its_folds(tmp_path: Path) -> None:
    prepare(tmp_path)
    table = tmp_path / "who.csv"
    write_table(table, 0)
    began = with_table_noted(run(tmp_path, f"folds.patients={table}"))
    before = select(began)
    table.write_text(table.read_text().replace("\n", "\r\n") + "\r\n")  # the same, written otherwise
    assert select(began) == before
    write_table(table, 1)
    with pytest.raises(PedsegError, match=r"says something else than when uda/.* was begun"):
        select(began)


def test_one_value_is_for_how_folds_are_made(tmp_path: Path) -> None:
    for overrides in (["folds=published"], ["folds.by=published"], ["folds={by: published}"]):
        assert run(tmp_path, *overrides).folds.by == "published"
    for overrides in (["folds=published", "folds.patients=a.csv"], ["folds.patients=a.csv", "folds=published"]):
        folds = run(tmp_path, *overrides).folds
        assert (folds.by, folds.patients) == ("published", "a.csv")
    with pytest.raises(PedsegError, match=r"folds\.by='sites': give patient, published or a \.json file"):
        run(tmp_path, "folds=sites")
