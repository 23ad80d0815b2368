"""What a command loads before it can answer, asked of the interpreter (``-X importtime``), its workers included."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.commands.dispatcher import VERBS
from tests.builders import write_case, write_checkpoint

HEAVY = (
    "blosc2", "hydra", "lightning", "matplotlib", "monai", "nibabel", "numpy", "omegaconf", "pandas", "rich", "scipy",
    "sklearn", "torch", "torchmetrics", "wandb",
)  # fmt: skip


def loaded(arguments: Sequence[str], *, code: int = 0) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """Run Python with these arguments; every module that the process and its children have imported."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    parts = [line.rpartition("|")[2].strip().split(".") for line in lines]
    modules = {".".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)}  # and their packages
    assert "encodings" in modules  # the interpreter has told
    return modules, done


def label_map(path: Path, *, corner: int) -> None:
    """Write a label map with all tissues."""
    label = np.zeros((12, 11, 10), dtype=np.uint8)
    for value, size in ((2, 6), (1, 4), (3, 3)):
        label[(slice(corner, corner + size),) * 3] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(label, np.eye(4)), path)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps of two cases and two tables of their scores."""
    world = tmp_path_factory.mktemp("a world")
    for number, name in enumerate(("a", "b")):
        label_map(world / "labels" / f"{name}-seg.nii.gz", corner=2)
        label_map(world / "maps" / f"{name}.nii.gz", corner=2 + number)
    rows = "".join(f"{case},{region},0.{case == 'a':d}5,2\n" for case in "abc" for region in ("wt", "tc", "et"))
    for name in ("one", "two"):
        (world / f"{name}.csv").write_text(f"case,region,dice,hd95_mm\n{rows}")
    return world


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    modules, by_module = loaded(["-m", f"pedseg.{verb}", "--help"])
    assert modules.isdisjoint(HEAVY)
    assert f"pedseg {verb}" in by_module.stdout
    modules, by_verb = loaded(["-m", "pedseg", verb, "--help"])
    assert modules.isdisjoint(HEAVY)
    assert by_verb.stdout == by_module.stdout


def test_the_list_of_verbs_loads_none() -> None:
    modules, done = loaded(["-m", "pedseg", "--help"])
    assert modules.isdisjoint({*HEAVY, "argparse", "pydantic"})
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("pedseg.inference", ("torch", "numpy")),
        ("pedseg.inference.predictor", ("monai", "lightning", "pandas", "sklearn")),
        ("pedseg.networks", ("monai", "lightning", "pandas", "sklearn", "scipy")),
        ("pedseg.labels", ("torch", "scipy", "pandas")),
        ("pedseg.cases", ("torch", "scipy", "pandas", "nibabel")),
        ("pedseg.data.preparation", ("torch", "pandas", "sklearn", "scipy.ndimage")),
        ("pedseg.evaluation.postprocessing.runs", ("torch", "sklearn", "pandas", "matplotlib")),
        ("pedseg.reporting.page", ("torch", "sklearn", "scipy.stats")),
        ("pedseg.callbacks", ("wandb", "monai", "mlflow")),
    ],
)
def test_modules_spare_what_they_do_not_need(module: str, spared: Sequence[str]) -> None:
    modules, _ = loaded(["-c", f"import {module}"])
    assert module in modules
    assert modules.isdisjoint(spared)


def test_evaluate_loads_no_torch_in_any_process(scored: Path, tmp_path: Path) -> None:
    folders = ["--predictions", str(scored / "maps"), "--labels", str(scored / "labels")]
    arguments = [*folders, "--output", str(tmp_path / "scores.csv"), "--workers", "2"]
    modules, done = loaded(["-m", "pedseg.evaluate", *arguments])
    assert "2 of 2 cases in" in done.stdout
    assert {"pandas", "cc3d", "scipy.spatial"} <= modules
    assert modules.isdisjoint({"torch", "monai", "lightning", "sklearn", "matplotlib", "scipy.stats", "scipy.optimize"})


def test_report_loads_no_torch(scored: Path, tmp_path: Path) -> None:
    tables = [str(scored / f"{name}.csv") for name in ("one", "two")]
    modules, done = loaded(["-m", "pedseg.report", *tables, "--output", str(tmp_path / "a report")])
    assert "report:" in done.stdout
    assert {"pandas", "matplotlib", "scipy.stats"} <= modules
    assert modules.isdisjoint({"torch", "monai", "lightning", "sklearn"})


def test_rules_are_applied_without_torch(scored: Path, tmp_path: Path) -> None:
    folders = ["--predictions", str(scored / "maps"), "--output", str(tmp_path / "cleared")]
    modules, _ = loaded(["-m", "pedseg.postprocess", *folders, "--rules", "peds2023", "--workers", "2"])
    assert len(list((tmp_path / "cleared").rglob("*.nii.gz"))) == 2
    assert "cc3d" in modules
    assert modules.isdisjoint({"torch", "monai", "lightning", "sklearn", "pandas", "matplotlib"})


def test_preparation_loads_no_torch_in_any_process(tmp_path: Path) -> None:
    for cohort in ("adult", "ped"):
        for number in range(2):
            write_case(tmp_path / cohort, f"case-{cohort}-{number}", seed=10 * number + len(cohort))
    paths = [f"paths.{name}={tmp_path / name}" for name in ("adult", "ped", "store")]
    unlabelled = [f"data.cohorts.{name}.labelled=false" for name in ("adult", "ped")]
    modules, _ = loaded(["-m", "pedseg.prepare", *paths, *unlabelled, "workers=2"])
    assert (tmp_path / "store" / "ped" / "index.json").exists()
    assert {"hydra", "blosc2", "nibabel"} <= modules
    assert modules.isdisjoint({"torch", "monai", "lightning", "sklearn", "pandas", "matplotlib"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--convention", "brats1999"], "label convention 'brats1999' is unknown"),
        (["--step", "0"], "step 0"),
        (["--input", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_predict_refuses_wrong_arguments_before_it_loads_torch(wrong: list[str], message: str, tmp_path: Path) -> None:
    write_case(tmp_path / "cases", "one")
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.touch()
    given = ["--checkpoint", str(checkpoint), "--input", str(tmp_path / "cases"), "--output", str(tmp_path / "out")]
    modules, done = loaded(["-m", "pedseg.predict", *given, *wrong], code=2)
    assert message in done.stderr
    assert "torch" not in modules


@pytest.mark.slow
def test_predict_loads_monai_and_no_trainer(tmp_path: Path) -> None:
    write_case(tmp_path / "cases", "one")
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    given = ["--checkpoint", str(checkpoint), "--input", str(tmp_path / "cases"), "--output", str(tmp_path / "out")]
    modules, _ = loaded(["-m", "pedseg.predict", *given, "--no-mirror", "--device", "cpu"])
    assert (tmp_path / "out" / "one.nii.gz").exists()
    assert "monai" in modules
    assert modules.isdisjoint({"lightning", "wandb", "hydra"})


def test_help_fits_a_screen_and_hydra_still_composes() -> None:
    for verb in ("train", "prepare"):
        plain = loaded(["-m", f"pedseg.{verb}", "--help"])[1].stdout
        assert len(plain.splitlines()) <= 24
        assert max(map(len, plain.splitlines())) <= 80
        assert plain.count(f"\n  pedseg {verb} ") == 3  # examples
        assert "\nGroups:\n" in plain
    for flag in (["--help"], ["--cfg", "job"], ["--info", "defaults"]):
        modules, done = loaded(["-m", "pedseg.train", "experiment=uda", "fold=3", *flag])
        assert "hydra" in modules
        assert "uda" in done.stdout if flag[0] == "--info" else "fold: 3" in done.stdout


def test_help_of_a_group_and_of_keys_loads_no_hydra() -> None:
    modules, done = loaded(["-m", "pedseg.train", "--help", "scale", "optimizer.lr", "loss"])
    assert modules.isdisjoint({"hydra", "omegaconf", "torch", "lightning"})
    assert "scale=paper  (default)\n    The paper's sizes" in done.stdout
    assert "optimizer.lr=  a number > 0\n    Learning rate at the start." in done.stdout
    assert "loss.bce_weight=" in done.stdout
    done = loaded(["-m", "pedseg.train", "--help", "optimiser.lr"], code=2)[1]
    assert "did you mean optimizer.lr?" in done.stderr
