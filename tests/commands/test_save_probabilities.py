"""``pedseg predict --save-probabilities`` against the label maps beside them."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.commands import evaluate
from pedseg.commands.predict import main
from pedseg.files import write_json
from pedseg.imaging import read_volume
from pedseg.labels import get_convention, labels_from_regions
from pedseg.runs import RunFolder
from tests.builders import write_case, write_checkpoint

CASES = ("BraTS-PED-90001-000", "BraTS-PED-90002-000")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two cases, two folds of a run with a calibrated variant."""
    for case in CASES:
        write_case(tmp_path / "in put", case)
    for fold in (0, 1):
        run = RunFolder(tmp_path / "runs" / f"fold_{fold}")
        write_checkpoint(run.checkpoint, seed=fold)
        write_json(run.variant("cut").settings, {"shares": {"tc": 0.5}, "target": ["ped"]})
        write_json(run.variant("cut").thresholds, {"thresholds": {"wt": -0.1, "tc": 0.2 + fold, "et": 0.05}})
    return tmp_path


def predict(world: Path, *words: str, to: str = "out") -> int:
    given = ["--input", str(world / "in put"), "--output", str(world / to), "--no-mirror", "--device", "cpu"]
    return main([*words, *given, "--precision", "32"])


def probabilities(world: Path, case: str, to: str = "out") -> Path:
    return world / to / "probabilities" / f"{case}.nii.gz"


def masks(path: Path) -> NDArray[np.bool_]:
    """Regions (3, Z, Y, X) with a probability above one half, as any reader of NIfTI has them."""
    return np.asarray(nib.load(path).get_fdata().T > 0.5, dtype=np.bool_)


@pytest.mark.parametrize(
    "networks",
    [
        ("--run", "{world}/runs/fold_0"),
        ("--run", "{world}/runs"),
        ("--run", "{world}/runs", "--variant", "cut"),
        ("--run", "{world}/runs/fold_1", "--variant", "tent"),
    ],
    ids=["plain", "ensemble", "thresholds", "adapted"],
)
def test_above_one_half_is_the_label_map(world: Path, networks: Sequence[str]) -> None:
    words = [word.format(world=world) for word in networks]
    assert predict(world, *words, "--save-probabilities") == 0
    assert predict(world, *words, to="without") == 0
    for case in CASES:
        label = world / "out" / f"{case}.nii.gz"
        assert label.read_bytes() == (world / "without" / f"{case}.nii.gz").read_bytes()
        found = labels_from_regions(masks(probabilities(world, case)), get_convention("brats2023"))
        assert np.array_equal(found, read_volume(label).data)
        assert found.any()
        image = nib.load(world / "in put" / case / f"{case}-t1n.nii.gz")
        made = nib.load(probabilities(world, case))
        assert np.array_equal(image.affine, made.affine)
        assert made.shape == (*image.shape, 3)
        values = made.get_fdata()
        assert values.min() == 0
        assert 0.5 < values.max() <= 1
        assert not values[np.asarray(image.dataobj) == 0].any()
    assert not (world / "without" / "probabilities").exists()


def test_what_lacks_them_is_predicted_again_and_nothing_stale_stays(world: Path) -> None:
    run = ["--run", str(world / "runs" / "fold_0")]
    assert predict(world, *run) == 0
    labels = {case: (world / "out" / f"{case}.nii.gz").read_bytes() for case in CASES}
    assert predict(world, *run, "--save-probabilities") == 0
    assert {case: (world / "out" / f"{case}.nii.gz").read_bytes() for case in CASES} == labels
    before = {case: probabilities(world, case).stat().st_mtime_ns for case in CASES}
    assert predict(world, *run, "--save-probabilities") == 0
    assert {case: probabilities(world, case).stat().st_mtime_ns for case in CASES} == before
    assert predict(world, "--run", str(world / "runs" / "fold_1"), "--overwrite") == 0
    assert not any(probabilities(world, case).exists() for case in CASES)  # they were another network's


def test_scores_pass_them_over(world: Path) -> None:
    assert predict(world, "--run", str(world / "runs" / "fold_0"), "--save-probabilities") == 0
    labels = world / "labels"
    labels.mkdir()
    for case in CASES:
        (labels / f"{case}.nii.gz").write_bytes((world / "out" / f"{case}.nii.gz").read_bytes())
    words = ["--predictions", str(world / "out"), "--labels", str(labels), "--output", str(world / "scores.csv")]
    assert evaluate.main(words) == 0


def test_files_of_others_stay(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = probabilities(world, CASES[0])
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    assert predict(world, "--run", str(world / "runs" / "fold_0"), "--save-probabilities") == 2
    assert "was not written by pedseg" in capsys.readouterr().err
    assert place.read_text() == "mine"


def test_it_needs_a_folder_of_cases(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(world / "runs"), "--save-probabilities"]) == 2
    assert "give --input DIR and --output DIR" in capsys.readouterr().err
