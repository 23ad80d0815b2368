"""A folder that one command writes is refused to every other, which has changed nothing then."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pedseg.commands import calibrate, convert, evaluate, postprocess, predict, prepare, report, validate
from pedseg.commands import train as training
from pedseg.files import read_json, sha256
from pedseg.locks import NAME, writing, writing_file
from pedseg.phantom.__main__ import main as phantom
from tests.builders import write_case, write_checkpoint
from tests.conftest import Trained
from tests.training import arguments

Main = Callable[[Sequence[str]], int]


def state(folder: Path) -> dict[Path, int]:
    """When each file below a folder was changed."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files if not path.name.startswith(NAME)}


def refused(main: Main, command: Sequence[str], capsys: pytest.CaptureFixture[str], where: Path) -> None:
    """Check that a command changes nothing below `where`, and says why."""
    before = state(where)
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr()
    assert "is being written by" in said.err + said.out
    assert state(where) == before


def test_of_two_predictions_into_one_folder_one_is_made(tmp_path: Path) -> None:
    """Both begin at the same time, each with a network of its own."""
    for number in range(3):
        write_case(tmp_path / "in", f"BraTS-PED-9000{number}-000")
    networks = [write_checkpoint(tmp_path / f"{seed}.ckpt", seed=seed) for seed in (0, 1)]
    common = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--no-mirror"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "pedseg.predict", "--checkpoint", str(network), *common],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for network in networks
    ]
    said = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], said
    late = said[codes.index(2)]  # it may also come when the first has ended
    assert "is being written by pedseg predict (process" in late or "made by other checkpoints" in late
    made = read_json(tmp_path / "out" / "predictions.json")
    assert sha256(networks[codes.index(0)]) in str(made)
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 3


def test_a_run_has_one_writer(toy_world: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained("m1_adult").path
    with writing(run):
        refused(calibrate.main, ["--run", str(run), "--input", str(toy_world / "ped")], capsys, run)
        refused(predict.main, ["--run", str(run), "--variant", "mirrored", "--device", "cpu"], capsys, run)
        refused(validate.main, [str(run), "--device", "cpu"], capsys, run)
        refused(postprocess.main, [str(run), "--rules", "peds2023", "--workers", "1"], capsys, run)


def test_a_training_has_its_folder_alone(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(tmp_path / "uda" / "fold_0"):
        refused(training.main, arguments(toy_world, tmp_path, "experiment=uda", "overwrite=true"), capsys, tmp_path)


def test_a_store_has_one_writer(toy_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [f"paths.{name}={toy_world / name}" for name in ("adult", "ped", "store")]
    with writing(toy_world / "store" / "ped"):
        refused(prepare.main, ["scale=toy", *paths, "workers=1"], capsys, toy_world / "store")
        assert prepare.main(["scale=toy", *paths, "workers=1", "check=true"]) == 0  # writes nothing


def test_other_outputs_have_one_writer(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, out = str(write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").parents[1]), tmp_path / "out"
    maps = tmp_path / "maps"
    maps.mkdir()
    shutil.copy(next((toy_world / "ped").glob("*/*-seg.nii.gz")), maps)
    with writing(out), writing(out / "peds2023"), writing(out / "adult"):
        refused(predict.main, ["--run", network, "--input", str(toy_world / "ped"), "--output", str(out)], capsys, out)
        refused(report.main, [str(tmp_path), "--output", str(out)], capsys, out)
        cleared = ["--predictions", str(maps), "--rules", "peds2023", "--output", str(out)]
        refused(postprocess.main, cleared, capsys, out)
        refused(convert.main, ["predictions", str(maps), "--naming", "nnunet", "--output", str(out)], capsys, out)
        refused(phantom, ["--adults", "1", "--children", "0", "--spacing", "8", "--output", str(out)], capsys, out)
    for name, main, command in (
        ("a.csv", evaluate.main, ["--predictions", str(maps), "--labels", str(maps)]),
        ("a.onnx", convert.main, ["to-onnx", network]),
        ("a.safetensors", convert.main, ["to-safetensors", network]),
        ("bundle", convert.main, ["to-bundle", network]),
        ("splits.json", convert.main, ["splits", str(toy_world / "ped")]),
    ):
        with writing_file(tmp_path / name):
            refused(main, [*command, "--output", str(tmp_path / name)], capsys, tmp_path)
