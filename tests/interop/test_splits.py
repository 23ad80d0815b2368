"""Folds written for nnU-Net come back through ``folds=FILE`` unchanged, and equal the published file."""

import json
from pathlib import Path

import pytest

from pedseg.commands.convert import main
from pedseg.folds import make_folds, read_nnunet_splits
from tests.exactness import Exact

ADULT = [f"BraTS-GLI-{number:05d}-{session:03d}" for number in range(8) for session in range(1 + number % 2)]
PED = [f"BraTS-PED-{number:05d}-000" for number in range(7)]


def name_cases(folder: Path, ids: list[str]) -> Path:
    for case in ids:
        for modality in ("t1n", "t1c", "t2w", "t2f"):
            path = folder / case / f"{case}-{modality}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


@pytest.mark.parametrize("grouping", ["patient", "published"])
def test_written_folds_are_those_of_training(tmp_path: Path, grouping: str) -> None:
    cohorts = [name_cases(tmp_path / "my adults", ADULT), name_cases(tmp_path / "ped", PED)]
    output = tmp_path / "splits_final.json"
    assert main(["splits", *map(str, cohorts), "--output", str(output), "--folds", grouping]) == 0
    for ids in (ADULT, PED):
        assert read_nnunet_splits(output, ids) == make_folds(ids, grouping=grouping)  # type: ignore[arg-type]
    content = json.loads(output.read_text())
    assert len(content) == 5
    assert sorted(content[0]["train"] + content[0]["val"]) == sorted(ADULT + PED)


@pytest.mark.parametrize("form", ["sub-{:02d}_ses-{:02d}", "CBTN{:04d}_tp{}", "PatientID_{:04d}_Timepoint_{}", "{}x{}"])
def test_sessions_of_a_patient_stay_together(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In the namings of other collections, and in one that nobody knows with a table."""
    whose = {form.format(patient, session): str(patient) for patient in range(10) for session in (1, 2)}
    cohort = name_cases(tmp_path / "cohort", list(whose))
    output = tmp_path / "splits.json"
    table = tmp_path / "who.csv"
    table.write_text("\n".join(["case,patient", *(f"{case},{patient}" for case, patient in whose.items())]))
    said = ["--patients", str(table)] if form == "{}x{}" else []
    assert main(["splits", str(cohort), "--output", str(output), *said]) == 0
    for fold in json.loads(output.read_text()):
        train, validation = ({whose[case] for case in fold[part]} for part in ("train", "val"))
        assert (len(train), len(validation), train & validation) == (8, 2, set())
    assert "name no patient" not in capsys.readouterr().err


@pytest.mark.exact(
    "Split file written for both published cohorts: cases on another side than in the published file",
    section="Interoperation",
    peer="the authors' splits_final.json",
    tolerance=0,
)
def test_published_file_is_written_again(shared: Path, tmp_path: Path, exact: Exact) -> None:
    published = json.loads((shared / "reference" / "splits_final.json").read_text())
    ids = published[0]["train"] + published[0]["val"]
    cohorts = [
        name_cases(tmp_path / name, [case for case in ids if case.startswith(name)])
        for name in ("BraTS-GLI", "BraTS-PED")
    ]
    output = tmp_path / "splits_final.json"
    assert main(["splits", *map(str, cohorts), "--output", str(output), "--folds", "published"]) == 0
    written = json.loads(output.read_text())
    exact(
        sum(
            len(set(a[part]) ^ set(b[part]))
            for a, b in zip(written, published, strict=True)
            for part in ("train", "val")
        )
    )


def test_cases_that_are_left_out_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cohort = name_cases(tmp_path / "cohort", ["C-0", *ADULT])
    next(cohort.rglob("C-0*t1c*")).unlink()
    output = tmp_path / "splits.json"
    assert main(["splits", str(cohort), "--output", str(output)]) == 0
    assert "C-0" not in output.read_text()
    assert "is left out: C-0 · " in caplog.text
    assert "no t1c image" in caplog.text


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adult = name_cases(tmp_path / "adult", ADULT)
    again = name_cases(tmp_path / "again", ADULT[:6])
    output = tmp_path / "splits.json"
    assert main(["splits", str(adult), str(again), "--output", str(output)]) == 2
    assert "BraTS-GLI-00000-000 is a case of another cohort too" in capsys.readouterr().err
    output.write_text("mine")
    assert main(["splits", str(adult), "--output", str(output)]) == 2
    assert output.read_text() == "mine"
    assert main(["splits", str(adult), "--output", str(output), "--overwrite"]) == 0
    few = name_cases(tmp_path / "few", PED[:3])
    assert main(["splits", str(few), "--output", str(tmp_path / "few.json")]) == 2
    assert not (tmp_path / "few.json").exists()
