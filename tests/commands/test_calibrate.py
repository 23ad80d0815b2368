"""The command line of calibration."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pedseg.commands.calibrate import main
from pedseg.commands.predict import main as predict
from pedseg.inference.calibration import thresholds_of
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


@pytest.mark.parametrize("more", [(), ("--adapt-steps", "1")])
def test_label_maps_have_the_share(world: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    before = (world / "a run" / "checkpoints" / "last.ckpt").read_bytes()
    output = world / "calibrated.ckpt"
    assert main(words(world, "--output", str(output), "--ratio", "tc=0.7", *more)) == 0
    said = capsys.readouterr().out
    assert "it has 0.70" in said
    assert "calibrated on 2 cases" in said
    assert (world / "a run" / "checkpoints" / "last.ckpt").read_bytes() == before
    assert set(torch.load(output, weights_only=True)) == {"pedseg", "state_dict"}
    shown = [
        "--checkpoint",
        str(output),
        "--input",
        str(world / "in put"),
        "--output",
        str(world / "out"),
        "--no-mirror",
    ]
    assert predict([*shown, "--device", "cpu", *more]) == 0
    assert share_of_core(world / "out") == pytest.approx(0.7, abs=0.01)


def test_the_published_ratio_by_a_command_of_its_own(world: Path) -> None:
    command = [sys.executable, "-m", "pedseg.calibrate", *words(world, "--output", str(world / "calibrated.ckpt"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "TC had" in done.stdout
    assert "it has 0.92" in done.stdout


def test_calibrating_again_starts_from_the_network(world: Path) -> None:
    """Not from what an earlier calibration has cut."""
    first, second = world / "first.ckpt", world / "second.ckpt"
    assert main(words(world, "--output", str(first), "--ratio", "tc=0.7", "--ratio", "et=0.2")) == 0
    again = ["--checkpoint", str(first), *words(world)[2:], "--output", str(second)]
    assert main([*again, "--ratio", "tc=0.7", "--ratio", "et=0.2"]) == 0
    assert thresholds_of(second) == thresholds_of(first)


def test_a_damaged_case_is_left_out_and_named(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = world / "alone.ckpt"
    image = world / "in put" / CASES[1] / f"{CASES[1]}-t1c.nii.gz"
    image.write_bytes(image.read_bytes()[:200])
    assert main(words(world, "--output", str(alone))) == 1
    assert f"1 cases are left out:\n  {CASES[1]} · {CASES[1]}-t1c.nii.gz: " in capsys.readouterr().err
    assert thresholds_of(alone) is not None


def test_mistakes(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = world / "calibrated.ckpt"
    output.write_bytes(b"mine")
    assert main(words(world, "--output", str(output))) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"
    for ratio, message in (("tc", "give REGION=PART"), ("wt=0.5", "give tc or et"), ("tc=1.5", "between 0 and 1")):
        assert main(words(world, "--output", str(world / "new.ckpt"), "--ratio", ratio)) == 2
        assert message in capsys.readouterr().err
    write_checkpoint(world / "folds" / "fold_0" / "checkpoints" / "last.ckpt")
    write_checkpoint(world / "folds" / "fold_1" / "checkpoints" / "last.ckpt")
    assert main(["--run", str(world / "folds"), *words(world)[2:], "--output", str(world / "new.ckpt")]) == 2
    assert "calibrate each by itself" in capsys.readouterr().err
    assert not (world / "new.ckpt").exists()


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, pedseg.commands.calibrate as c; c.parser().format_help(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
