"""What `pedseg check` says, in which form, and with which exit code."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.commands.check import main as check
from pedseg.commands.prepare import main as prepare
from tests.imaging.turned import turn

CHILD = "BraTS-PED-90002-000"


@pytest.fixture
def raw(toy_world: Path, tmp_path: Path) -> Path:
    """A copy of the raw cohorts, in a folder with a space in its name."""
    for cohort in ("adult", "ped"):
        shutil.copytree(toy_world / cohort, tmp_path / "raw data" / cohort)
    return tmp_path / "raw data"


def configured(raw: Path, *more: str) -> list[str]:
    paths = [f"paths.{cohort}={raw / cohort}" for cohort in ("adult", "ped")]
    return ["scale=toy", "workers=1", f"paths.store={raw / 'store'}", *paths, *more]


def spoil(raw: Path) -> None:
    """A problem, a warning and a note, in three children."""
    (raw / "ped" / CHILD / f"{CHILD}-t2f.nii.gz").write_bytes(b"no image")
    turn(raw / "ped" / "BraTS-PED-90003-000" / "BraTS-PED-90003-000-t2w.nii.gz", "RAS")
    everywhere(raw / "ped" / "BraTS-PED-90004-000")


def everywhere(case: Path) -> None:
    """Images whose background is 3."""
    for path in case.iterdir():
        image = nib.load(path)
        if "seg" not in path.name:
            data = np.asarray(image.dataobj)
            nib.save(nib.Nifti1Image(np.where(data == 0, 3, data).astype(np.int16), image.affine), path)


def test_a_configuration_as_a_command(raw: Path, tmp_path: Path) -> None:
    spoil(raw)
    output = tmp_path / "found" / "findings.csv"
    words = configured(raw, "--format", "json", "--output", str(output))
    done = subprocess.run([sys.executable, "-m", "pedseg.check", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    rows = json.loads(done.stdout)
    severities = [row["severity"] for row in rows]
    assert severities == ["problem", "warning", "note"]
    assert rows[0] | {"what": "", "fix": ""} == {
        "severity": "problem", "cohort": "ped", "case": CHILD, "file": f"{CHILD}-t2f.nii.gz", "what": "", "fix": ""
    }  # fmt: skip
    assert "is not a NIfTI file" in rows[0]["what"]
    assert "counts as brain" in rows[1]["what"]
    assert "is stored in RAS axes" in rows[2]["what"]
    with output.open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    assert "1 problems in 1 cases" in done.stderr
    assert "ped: 5 cases can be used; 1 problem, 1 warning, 1 note" in done.stderr
    assert not (raw / "store").exists()


def test_warnings_and_notes_end_with_0(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turn(raw / "ped" / CHILD / f"{CHILD}-t2w.nii.gz", "RAS")
    everywhere(raw / "ped" / "BraTS-PED-90004-000")
    assert check(configured(raw)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["warning", "note"]
    assert prepare(configured(raw, "--check")) == 0
    assert capsys.readouterr().err.splitlines()[-2:] == shown
    assert prepare(configured(raw)) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith(("note", "warning"))] == shown[:1]
    assert check(configured(raw)) == 0  # of what has been prepared
    assert capsys.readouterr().out.splitlines() == shown


def test_a_folder_with_labels_elsewhere(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, labels = raw / "ped", tmp_path / "labels"
    labels.mkdir()
    for path in folder.glob("*/*-seg.nii.gz"):
        path.rename(labels / path.name)
    assert check(["--input", str(folder), "--workers", "1"]) == 0
    assert check(["--input", str(folder), "--labels", "--workers", "1"]) == 2
    assert "no case has a label" in capsys.readouterr().err
    given = ["--input", str(folder), "--labels", str(labels), "--workers", "1"]
    assert check(given) == 0
    assert check([*given, "--convention", "brats2023", "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "severity,cohort,case,file,what,fix"
    (labels / f"{CHILD}-seg.nii.gz").unlink()
    assert check([*given, "--convention", "brats2023"]) == 2
    assert f"{CHILD}.nii.gz: no label in {labels}" in capsys.readouterr().out
    assert check([*given, "--convention", "msd_task01"]) == 2


def test_what_is_asked_for_is_looked_at_first(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {
        "takes no settings": ["--input", str(raw), "scale=toy"],
        ".csv or .json": ["--input", str(raw), "--output", str(tmp_path / "a.txt")],
        "goes with --input": configured(raw, "--labels"),
        "no such folder": ["--input", str(raw / "nowhere")],
        "trainer.max_epochs is unknown": ["trainer.max_epochs=3"],
    }
    for told, words in wrong.items():
        assert check(words) == 2, told
        shown = capsys.readouterr()
        assert told in shown.err, shown
        assert not shown.out
    output = tmp_path / "kept.csv"
    output.write_text("kept")
    assert check(["--input", str(raw / "ped"), "--output", str(output)]) == 2
    assert output.read_text() == "kept"
    assert check(["--input", str(raw / "ped"), "--output", str(output), "--overwrite", "--workers", "1"]) == 0
    assert output.read_text() != "kept"


def test_cells_are_text_to_spreadsheets_and_terminals(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw / "ped" / CHILD
    for path in folder.iterdir():
        path.write_bytes(b"no image")
        path.rename(path.with_name(path.name.replace(CHILD, "=1+1[b]")))
    assert check(["--input", str(raw / "ped"), "--format", "csv", "--workers", "1"]) == 2
    cells = [row["case"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    assert cells == ["'=1+1[b]"] * 4
    assert check(["--input", str(raw / "ped"), "--workers", "1"]) == 2
    assert capsys.readouterr().out.count("problem: =1+1[b] · =1+1[b]-t") == 4
