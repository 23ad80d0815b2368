"""The command line of scoring, in paths with spaces."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from pedseg.commands.evaluate import main


def write(path: Path, *, shape: Sequence[int] = (8, 7, 6), value: int = 3) -> None:
    data = np.zeros(shape, dtype=np.uint8)
    data[2:5, 2:5, 2:5] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    world = tmp_path / "a world"
    for name in ("a", "b"):
        write(world / "the predictions" / f"{name}.nii.gz")
        write(world / "the labels" / f"{name}-seg.nii.gz")
    return world


def arguments(world: Path, *more: str) -> list[str]:
    folders = ["--predictions", str(world / "the predictions"), "--labels", str(world / "the labels")]
    return [*folders, "--output", str(world / "the scores.csv"), *more]


def test_help_imports_nothing_heavy() -> None:
    heavy = {"numpy", "pandas", "scipy", "nibabel", "torch", "rich"}
    code = f"import sys, pedseg.commands.evaluate as e; e.parser().format_help(); print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not done.stdout.strip()


def test_command_in_its_own_process_with_workers(world: Path) -> None:
    command = [sys.executable, "-m", "pedseg.evaluate", *arguments(world, "--workers", "2")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where nobody looks
    assert "median" in done.stdout
    assert "2 of 2 cases in" in done.stdout
    scores = pd.read_csv(world / "the scores.csv")
    assert list(scores["case"]) == ["a"] * 3 + ["b"] * 3
    assert list(scores["region"]) == ["wt", "tc", "et"] * 2
    assert set(scores["dice"]) == {1.0}


def test_means_and_medians(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(world / "the predictions" / "b.nii.gz", value=2)
    assert main(arguments(world)) == 0
    wt, tc, et = (line.split() for line in capsys.readouterr().out.splitlines()[-4:-1])
    assert wt[:5] == ["wt", "1.0000", "1.0000", "0.0000", "0.0000"]
    assert tc[:5] == ["tc", "0.5000", "0.5000", "187.0000", "187.0000"]
    assert et[0] == "et"


def test_definition_and_tolerance(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(world / "the predictions" / "b.nii.gz", value=2)
    assert main(arguments(world, "--definition", "brats2025", "--surface-tolerance", "1.5")) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "definition brats2025, surface Dice within 1.5 mm"
    scores = pd.read_csv(world / "the scores.csv").set_index(["case", "region"])
    assert list(scores.loc[("b", "tc"), ["dice", "hd95_mm", "raw_hd95_mm"]]) == [0.0, 373.0, float("inf")]
    assert set(scores["definition"]) == {"brats2025"}
    assert main(arguments(world, "--overwrite")) == 0
    assert capsys.readouterr().out.splitlines()[0] == "definition brats2023, surface Dice within 1 mm"


def test_an_existing_output_is_kept(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = world / "the scores.csv"
    output.write_text("precious")
    assert main(arguments(world)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert main(arguments(world, "--overwrite")) == 0
    assert output.read_text().startswith("case,region,dice,hd95_mm,")


def test_some_cases_fail(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(world / "the predictions" / "a.nii.gz", shape=(8, 7, 9))
    assert main(arguments(world)) == 1
    printed = capsys.readouterr()
    assert "1 of 2 cases in" in printed.out
    assert "(8, 7, 9) against (8, 7, 6)" in printed.err
    assert set(pd.read_csv(world / "the scores.csv")["case"]) == {"b"}


def test_nothing_can_be_scored(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(world, "--convention", "brats2021")) == 2
    assert "none of 2 cases" in capsys.readouterr().err
    (world / "the predictions" / "b.nii.gz").unlink()
    assert main(arguments(world)) == 2
    assert "b.nii.gz: is not in" in capsys.readouterr().err
    assert not (world / "the scores.csv").exists()
    assert main(arguments(world, "--subset")) == 0


def test_usage_errors(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(world, "--convention", "nonsense")) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main(arguments(world, "--definition", "nonsense")) == 2
    assert "use one of brats2023, brats2025" in capsys.readouterr().err
    assert main([*arguments(world), "--output", str(world)]) == 2
    assert "is a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(arguments(world, "--workers", "0"))
    assert main([*arguments(world), "--predictions", str(world / "absent")]) == 2
    assert "absent: no such folder" in capsys.readouterr().err
