"""Published layouts with real files in them, through the commands that read cases."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.cases import find_cases
from pedseg.commands import evaluate, predict, prepare, report
from pedseg.data.store import CohortStore
from pedseg.runs import RunFolder
from tests.builders import AFFINE, write_checkpoint
from tests.cases.layouts import LAYOUTS, ROLES, touch
from tests.conftest import FEW, Trained
from tests.training import assert_same_bits, train, weights

SHAPE = (20, 18, 19)


def write_images(root: Path, cases: Mapping[str, Mapping[str, str]]) -> None:
    """Images and labels of different children, with a tumour of three tissues each."""
    for seed, files in enumerate(cases.values()):
        rng = np.random.default_rng(seed)
        label = np.zeros(SHAPE, np.uint8)
        label[5:12, 5:12, 5:12], label[6:10, 6:10, 6:10], label[7:9, 7:9, 7 : 8 + seed % 2] = 2, 1, 3
        for role, name in files.items():
            image = np.zeros(SHAPE, np.int16)
            image[2:-1, 1:-2, 1:-1] = rng.integers(300, 500, (17, 15, 17))
            image[label == 3] += 900 if role == "t1c" else 0
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = label if role == "label" else image
            nib.Nifti1Image(data, AFFINE, dtype=data.dtype).to_filename(path.with_name("x.nii.gz"))
            content = nib.load(path.with_name("x.nii.gz")).to_bytes()
            path.with_name("x.nii.gz").unlink()
            path.write_bytes(content)  # read whatever it is called


def check(root: Path, store: Path, *words: str) -> int:
    given = [
        "scale=toy",
        "workers=1",
        "~data.cohorts.adult",
        f"paths.ped={root}",
        f"paths.store={store}",
    ]
    return prepare.main([*given, *words])


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_are_prepared_and_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    layout, root = LAYOUTS[name], tmp_path / "a cohort"
    write_images(root, layout.cases)
    touch(root, *layout.beside, *layout.others)
    convention = "data.cohorts.ped.convention=brats2023"
    assert check(root, tmp_path / "store", convention, "--check") == 0, capsys.readouterr().err
    assert check(root, tmp_path / "store", convention) == 0
    assert set(CohortStore(tmp_path / "store" / "ped").case_ids) == set(layout.cases)
    arguments = ["--checkpoint", str(write_checkpoint(tmp_path / "last.ckpt")), "--no-mirror", "--input", str(root)]
    assert predict.main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {f"{case}.nii.gz" for case in layout.cases}
    scores = ["--predictions", str(tmp_path / "out"), "--labels", str(root), "--output", str(tmp_path / "scores.csv")]
    assert evaluate.main([*scores, "--workers", "1", "--convention", "brats2023"]) == 0


def test_a_table_through_the_commands(tmp_path: Path) -> None:
    """In processes of their own: preparation, prediction and scores from one CSV."""
    cases = {f"P{n} Müller": {role: f"images/{n} {role}.nii.gz" for role in ROLES} for n in range(3)}
    write_images(tmp_path / "data", cases)
    rows = ["case,t1n,t1c,t2w,t2f,label,patient"]
    rows += [",".join([case, *(files[role] for role in ROLES), "one"]) for case, files in cases.items()]
    table = tmp_path / "data" / "cases.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    out, checkpoint = tmp_path / "out", write_checkpoint(tmp_path / "last.ckpt")
    given = ["scale=toy", "workers=1", "~data.cohorts.adult", f"paths.ped={table}"]
    for words in (
        ["prepare", *given, f"paths.store={tmp_path / 'store'}", "data.cohorts.ped.convention=brats2023"],
        ["predict", "--checkpoint", str(checkpoint), "--input", str(table), "--output", str(out), "--no-mirror"],
        ["evaluate", "--predictions", str(out), "--labels", str(table), "--output", str(tmp_path / "scores.csv")],
    ):
        done = subprocess.run([sys.executable, "-m", "pedseg", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    store = CohortStore(tmp_path / "store" / "ped")
    assert store.patients == dict.fromkeys(cases, "one")
    assert {path.name for path in out.glob("*.nii.gz")} == {f"{case}.nii.gz" for case in cases}


def test_what_cannot_be_read_is_said_in_a_process_of_its_own(tmp_path: Path) -> None:
    """A pipe in place of a case, one name that is not in UTF-8, a case in another format: the rest is predicted."""
    roles = dict(zip(ROLES, ("t1n", "t1c", "t2w", "t2f", "seg"), strict=True))
    cases = {
        case: {role: f"{case}/{case}-{name}.nii.gz" for role, name in roles.items()} for case in ("A-1", "B\udcff-1")
    }
    write_images(tmp_path / "in", cases)
    os.mkfifo(tmp_path / "in" / "C-1")
    touch(tmp_path / "in", *(f"D-1/D-1-{name}.nrrd" for name in roles.values()))
    words = ["--checkpoint", str(write_checkpoint(tmp_path / "last.ckpt")), "--input", str(tmp_path / "in")]
    words += ["--output", str(tmp_path / "out"), "--no-mirror"]
    done = subprocess.run(
        [sys.executable, "-m", "pedseg", "predict", *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["A-1.nii.gz"]
    for text in ("3 cases have no label map", r"B\xff-1", "C-1: a pipe", "D-1-t1c.nrrd and 3 more: is NRRD", "c3d"):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_automated_labels_are_said_by_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path / "in", LAYOUTS["UPENN-GBM"].cases)
    assert check(tmp_path / "in", tmp_path / "store", "data.cohorts.ped.convention=brats2023", "--check") == 0
    assert "the only segmentation is an automated approximation" in " ".join(capsys.readouterr().err.split())


def test_a_run_on_tables_is_that_on_folders(toy_world: Path, trained: Trained, tmp_path: Path) -> None:
    """Training, prediction of held-out children, scores and their report; the table may name labels."""
    paths = []
    for cohort in ("adult", "ped"):
        found = find_cases(toy_world / cohort, cohort=cohort, labelled=True).cases
        files = [[case.id, *(image.path for image in case.images), case.label] for case in found]
        table = tmp_path / f"{cohort}.csv"
        table.write_text("case,t1,t1ce,t2,flair,seg\n" + "".join(",".join(map(str, row)) + "\n" for row in files))
        paths.append(f"paths.{cohort}={table}")
    before = trained("uda")
    assert train(toy_world, tmp_path / "runs", "experiment=uda", "run_name=uda", *FEW, *paths) == 0
    (folder,) = (tmp_path / "runs" / "uda").iterdir()
    run = RunFolder(folder)
    assert_same_bits(weights(run.path), weights(before.path))
    assert run.variant("plain").scores.read_text() == before.variant("plain").scores.read_text()
    assert report.main([str(tmp_path / "runs"), "--output", str(tmp_path / "report")]) == 0
    assert list((tmp_path / "report").rglob("*slices*"))
