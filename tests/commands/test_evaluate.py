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


def children(world: Path, *, oedema: bool) -> None:
    """Two children in BraTS-PEDs 2024 labels (1 ET, 2 NET, 3 CC, 4 ED); all is found, and all ET called NET."""
    label = np.zeros((8, 7, 6), dtype=np.uint8)
    label[1:7, 1:6, 1:5] = 2
    label[2:6, 2:5, 1:5] = 1
    label[3, 3, 3] = 3
    for name in ("a", "b"):
        if oedema and name == "b":
            label[0] = 4
        for folder, data in (("the labels", label), ("the predictions", np.where(label == 1, 2, label))):
            path = world / folder / f"{name}{'-seg' if folder == 'the labels' else ''}.nii.gz"
            nib.save(nib.Nifti1Image(data.astype(np.uint8), np.eye(4)), path)


@pytest.mark.parametrize("oedema", [True, False])
def test_children_of_2024(world: Path, capsys: pytest.CaptureFixture[str], *, oedema: bool) -> None:
    children(world, oedema=oedema)
    assert main(arguments(world)) == 2
    error = capsys.readouterr().err
    assert "brats_ped2024" in error
    assert "--convention" in error
    assert not (world / "the scores.csv").exists()
    assert main(arguments(world, "--convention", "brats_ped2024")) == 0
    assert "labels in brats_ped2024 (ET 1, NC 2+3, ED 4), given by --convention" in capsys.readouterr().out
    dice = pd.read_csv(world / "the scores.csv").groupby("region")["dice"].mean()
    assert dice.to_dict() == {"wt": 1.0, "tc": 1.0, "et": 0.0}


def test_the_record_beside_predictions_is_believed(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Perfect label maps in other numbers than the labels, as `predict` leaves them."""
    children(world, oedema=True)
    for path in (world / "the labels").iterdir():
        image = nib.load(path)
        data = np.array([0, 3, 1, 1, 2], dtype=np.uint8)[np.asarray(image.dataobj)]
        nib.save(nib.Nifti1Image(data, image.affine), world / "the predictions" / path.name.replace("-seg", ""))
    record = world / "the predictions" / "predictions.json"
    record.write_text('{"convention": "brats2023 (ET 3, NC 1, ED 2)"}')
    assert main(arguments(world, "--convention", "brats_ped2024")) == 0
    assert f"predictions in brats2023 (ET 3, NC 1, ED 2), which {record} says" in capsys.readouterr().out
    assert set(pd.read_csv(world / "the scores.csv")["dice"]) == {1.0}
    contradiction = ["--convention", "brats_ped2024", "--prediction-convention", "brats_ped2024", "--overwrite"]
    assert main(arguments(world, *contradiction)) == 2
    assert "predictions.json: the label maps beside it are in brats2023" in capsys.readouterr().err
    record.unlink()
    assert main(arguments(world, "--convention", "brats_ped2024", "--overwrite")) == 2
    assert "--prediction-convention brats2023 if they are" in capsys.readouterr().err


def test_exchanged_labels_are_warned_of(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        write(world / "the predictions" / f"{name}.nii.gz", value=2)
        write(world / "the labels" / f"{name}-seg.nii.gz", value=1)
    stated = ["--convention", "brats2023", "--prediction-convention", "brats2023"]
    assert main(arguments(world, *stated)) == 0
    error = capsys.readouterr().err
    assert "WARNING: the mean Dice of TC would rise from 0.000 to 1.000" in error
    assert "msd_task01" in error


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
