"""The command line of calibration."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.calibration.record import read_thresholds
from pedseg.commands.calibrate import main
from pedseg.commands.predict import main as predict
from pedseg.ownership import note
from pedseg.runs import RunFolder
from tests.builders import write_case, write_checkpoint

CASES = ("BraTS-PED-90001-000", "BraTS-PED-90002-000")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two cases and a run."""
    for seed, name in enumerate(CASES):
        write_case(tmp_path / "in put", name, seed=seed, shape=(20, 18 + seed, 19))
    write_checkpoint(tmp_path / "a run" / "checkpoints" / "last.ckpt", seed=1)
    return tmp_path


def words(world: Path, *more: str) -> list[str]:
    return ["--run", str(world / "a run"), "--input", str(world / "in put"), "--no-mirror", "--device", "cpu", *more]


def share_of_core(folder: Path) -> float:
    """Mean over the label maps of the part of WT that is TC."""
    maps = [np.asarray(nib.load(path).dataobj) for path in sorted(folder.glob("*.nii.gz"))]
    assert len(maps) == len(CASES)
    return float(np.mean([np.isin(one, (1, 3)).sum() / (one > 0).sum() for one in maps]))


def own(world: Path) -> RunFolder:
    return RunFolder(world / "a run")


@pytest.mark.parametrize("variant", ["mine", "tent_calibrated"])
def test_label_maps_have_the_share(world: Path, capsys: pytest.CaptureFixture[str], variant: str) -> None:
    before = own(world).checkpoint.read_bytes()
    assert main(words(world, "--variant", variant, "--share", "tc=0.7")) == 0
    said = capsys.readouterr().out
    assert "it has 0.70" in said
    assert "calibrated on 2 cases" in said
    assert own(world).checkpoint.read_bytes() == before
    how = own(world).variant(variant).how()
    assert how is not None
    assert (how.shares, how.mirror, how.adapt_steps > 0) == ({"tc": 0.7}, False, variant == "tent_calibrated")
    shown = ["--run", world / "a run", "--variant", variant, "--input", world / "in put", "--output", world / "out"]
    assert predict([*map(str, shown), "--device", "cpu"]) == 0
    assert share_of_core(world / "out") == pytest.approx(0.7, abs=0.01)


def test_the_published_ratio_by_a_command_of_its_own(world: Path) -> None:
    command = [sys.executable, "-m", "pedseg", "calibrate", *words(world)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "TC had" in done.stdout
    assert "it has 0.92" in done.stdout
    assert read_thresholds(own(world).variant("calibrated").thresholds) is not None


def test_a_damaged_case_is_left_out_and_named(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = world / "in put" / CASES[1] / f"{CASES[1]}-t1c.nii.gz"
    image.write_bytes(image.read_bytes()[:200])
    assert main(words(world)) == 1
    assert f"1 cases are left out:\n  {CASES[1]} · {CASES[1]}-t1c.nii.gz: " in capsys.readouterr().err
    assert read_thresholds(own(world).variant("calibrated").thresholds) is not None


def test_what_is_there_stays_unless_it_is_given_up(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = own(world).variant("calibrated")
    assert main(words(world, "--share", "tc=0.7")) == 0
    first = place.thresholds.read_bytes()
    note(place.path, ["old.nii.gz"])
    for name in ("old.nii.gz", "mine.nii.gz"):
        (place.path / name).touch()
    assert main(words(world)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert place.thresholds.read_bytes() == first
    assert main(words(world, "--overwrite")) == 0
    assert place.thresholds.read_bytes() != first
    assert not (place.path / "old.nii.gz").exists()
    assert (place.path / "mine.nii.gz").exists()  # of somebody else


def test_mistakes(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for share, message in (("tc", "give REGION=SHARE"), ("wt=0.5", "shares.wt"), ("tc=1.5", "shares.tc=1.5")):
        assert main(words(world, "--share", share)) == 2
        assert message in capsys.readouterr().err
    assert main(words(world, "--variant", "tent")) == 2
    assert "tent is not calibrated" in capsys.readouterr().err
    write_checkpoint(world / "folds" / "fold_0" / "checkpoints" / "last.ckpt")
    write_checkpoint(world / "folds" / "fold_1" / "checkpoints" / "last.ckpt")
    assert main(["--run", str(world / "folds"), *words(world)[2:]]) == 2
    assert "calibrate each by itself" in capsys.readouterr().err
    assert not list(world.rglob("thresholds.json"))


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, pedseg.commands.calibrate as c; c.parser().format_help(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
