"""The command."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pedseg.phantom.__main__ import main


def test_command_writes_cohorts_report_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path / "my data"), "--adults", "2", "--children", "3", "--spacing", "8"]
    assert main([*arguments, "--workers", "1", "--unlabelled-children", "--picture"]) == 0
    assert len(list((tmp_path / "my data" / "adult").glob("*/*-seg.nii.gz"))) == 2
    assert len(list((tmp_path / "my data" / "ped").glob("*/*.nii.gz"))) == 3 * 4
    assert (tmp_path / "my data" / "preview.png").read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "KS" in output
    assert "no labels" in output
    assert main([*arguments, "--workers", "1"]) == 2  # the children would need labels
    assert "choose another folder" in capsys.readouterr().err


def test_an_empty_cohort_is_left_out(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path), "--adults", "0", "--children", "1", "--spacing", "8"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["ped"]


@pytest.mark.parametrize("wrong", [["--spacing", "5"], ["--adults", "-1"], ["--children", "x"]])
def test_wrong_values_are_refused(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--output", str(tmp_path), *wrong])
    assert stop.value.code == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom pedseg.phantom.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'nibabel', 'nilearn', 'matplotlib'} & set(sys.modules)))"
    )
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("[]")
    assert time.perf_counter() - start < 5
