"""The command line of prediction."""

import subprocess
import sys
from pathlib import Path

import pytest

from pedseg.predict import main
from tests.builders import write_case, write_checkpoint


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, pedseg.predict as p; p.parser().format_help(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_command(tmp_path: Path) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    command = [sys.executable, "-m", "pedseg.predict", "--run", str(tmp_path / "run"), "--input", str(tmp_path / "in")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out"), "--no-mirror"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "BraTS-PED-90001-000.nii.gz").exists()


def test_some_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    (write_case(tmp_path / "in", "BraTS-PED-90002-000") / "BraTS-PED-90002-000-t1c.nii.gz").unlink()
    checkpoint = str(write_checkpoint(tmp_path / "last.ckpt"))
    arguments = ["--checkpoint", checkpoint, "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--no-mirror"]) == 1
    assert "BraTS-PED-90002-000" in capsys.readouterr().err
    assert (tmp_path / "out" / "BraTS-PED-90001-000.nii.gz").exists()


def test_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--input", str(tmp_path / "absent"), "--output", str(tmp_path / "out")]
    assert main(paths) == 2
    assert "--checkpoint" in capsys.readouterr().err
    assert main([*paths, "--checkpoint", "x.ckpt", "--convention", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main([*paths, "--checkpoint", "x.ckpt"]) == 2
    assert "absent" in capsys.readouterr().err
