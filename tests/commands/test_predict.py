"""The command line of prediction."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.cases import find_cases
from pedseg.commands.predict import main
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.hardware import fast_precision
from pedseg.imaging import prepare_image, read_images
from pedseg.imaging.brain import find_brain
from pedseg.inference import Predictor, Settings
from pedseg.labels import get_convention, labels_from_regions
from pedseg.runs import RunFolder, checkpoints_of
from tests.builders import write_case, write_checkpoint
from tests.composed import write_config
from tests.imaging.turned import turn


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, pedseg.commands.predict as p; p.parser().format_help(); sys.exit('torch' in sys.modules)"
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


def test_adaptation_at_test_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A variant of conf/ for any checkpoint; one of a run's own for that run."""
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    checkpoint = write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    write_json(RunFolder(tmp_path / "run").variant("wild").settings, {"adapt_steps": 1, "adapt_rate": 1e4})
    arguments = ["--input", str(tmp_path / "in"), "--no-mirror", "--output"]
    tent = ["--checkpoint", str(checkpoint), "--variant", "tent"]
    assert main([*tent, *arguments, str(tmp_path / "out")]) == 0
    assert read_json(tmp_path / "out" / "predictions.json")["adapt_steps"] == 10
    capsys.readouterr()
    wild = ["--run", str(tmp_path / "run"), "--variant", "wild"]
    assert main([*wild, *arguments, str(tmp_path / "wild")]) == 0
    assert "test-time adaptation kept for 0 of 1 cases" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "x.ckpt", "--variant", "tnet"], "did you mean tent?"),
        (["--checkpoint", "x.ckpt", "--variant", "calibrated"], "its thresholds are found on images"),
        (["--run", "{run}", "--variant", "calibrated"], "its thresholds are found on images"),
        (["--run", "{run}", "--variant", "cleared"], "is no prediction; predict with --variant plain"),
    ],
)
def test_variants_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    run = RunFolder(tmp_path / "run")
    write_checkpoint(run.checkpoint)
    write_json(run.variant("cleared").settings, {"rules": "peds2023"})
    given = [word.format(run=run.path) for word in words]
    assert main([*given, "--input", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_own_cases_are_those_of_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert main(["--checkpoint", str(checkpoint), "--variant", "tent"]) == 2
    assert "--checkpoint names no cases of its own" in capsys.readouterr().err
    assert main(["--run", str(tmp_path / "run"), "--input", str(tmp_path)]) == 2
    assert "belong together" in capsys.readouterr().err
    write_config(tmp_path / "run")
    assert main(["--run", str(tmp_path / "run"), "--variant", "tent"]) == 2
    assert "is not finished" in capsys.readouterr().err


def test_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--input", str(tmp_path / "absent"), "--output", str(tmp_path / "out")]
    assert main(paths) == 2
    assert "--checkpoint" in capsys.readouterr().err
    assert main([*paths, "--checkpoint", "x.ckpt", "--convention", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main([*paths, "--checkpoint", "x.ckpt"]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_folder_of_folds_is_an_ensemble(tmp_path: Path) -> None:
    folds = [write_checkpoint(tmp_path / "uda" / f"fold_{k}" / "checkpoints" / "last.ckpt", seed=k) for k in (0, 1)]
    assert checkpoints_of(tmp_path / "uda") == folds
    assert checkpoints_of(tmp_path / "uda" / "fold_1") == folds[1:]
    with pytest.raises(PedsegError, match="fold_"):
        checkpoints_of(tmp_path)


def test_truncated_file_among_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2, 3):
        write_case(tmp_path / "in", f"BraTS-PED-9000{number}-000")
    bad = tmp_path / "in" / "BraTS-PED-90002-000" / "BraTS-PED-90002-000-t2w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:300])
    checkpoint = str(write_checkpoint(tmp_path / "last.ckpt"))
    arguments = ["--checkpoint", checkpoint, "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--no-mirror"]) == 1
    said = capsys.readouterr()
    assert "BraTS-PED-90002-000 · BraTS-PED-90002-000-t2w.nii.gz" in said.err
    assert "download or copy it again" in said.err
    assert "2 label maps" in said.out
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2


def test_a_case_without_a_sequence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Refused unless it is asked for, with a file of zeros in its place, too; then its channel is 0."""
    case, name = write_case(tmp_path / "in", "BraTS-PED-90001-000"), "BraTS-PED-90001-000"
    path = case / f"{name}-t2w.nii.gz"
    image, original = nib.load(path), path.read_bytes()
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    arguments = ["--checkpoint", str(checkpoint), "--no-mirror", "--input", str(case)]

    def label_map(folder: str, *options: str) -> bytes:
        assert main([*arguments, "--output", str(tmp_path / folder), *options]) == 0
        return np.asarray(nib.load(tmp_path / folder / f"{name}.nii.gz").dataobj).tobytes()

    whole = label_map("out")
    nib.save(nib.Nifti1Image(np.zeros(image.shape, dtype=np.int16), image.affine), path)
    assert main([*arguments, "--output", str(tmp_path / "zeros")]) == 1
    assert "t2w.nii.gz: every voxel of t2w is 0 → export the image again; or, for a" in capsys.readouterr().err
    (read,) = find_cases(case, cohort="input", labelled=False).cases
    prepared = prepare_image(read_images(read.images), spacing_mm=None)
    cpu = torch.device("cpu")
    settings = Settings(mirror=False, precision=fast_precision(cpu).precision)
    predictor = Predictor([checkpoint], device=cpu, settings=settings)
    expected = labels_from_regions(predictor.segment(prepared), get_convention("brats2023"))
    zeros = expected.T.tobytes()
    assert zeros != whole
    path.unlink()
    assert main([*arguments, "--output", str(tmp_path / "none")]) == 2
    assert "no case has t2w" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert label_map("missing", "--allow-missing") == zeros
    record = tmp_path / "missing" / "predictions.json"
    assert read_json(record)["missing_sequences"] == {name: ["t2w"]}
    assert f"{name} has no t2w" in caplog.text
    assert label_map("out", "--allow-missing") == zeros  # what was made of other images is made again
    path.write_bytes(original)
    assert label_map("missing") == whole
    assert "missing_sequences" not in read_json(record)


def predicted(folder: Path, checkpoint: Path, *options: str) -> NDArray[np.uint8]:
    """Label map of the case in a folder."""
    output = folder.parent / f"{folder.name} predicted"
    arguments = ["--checkpoint", str(checkpoint), "--no-mirror", "--input", str(folder), "--output", str(output)]
    assert main([*arguments, *options]) == 0
    (path,) = output.glob("*.nii.gz")
    return np.asarray(nib.load(path).dataobj)


@pytest.mark.parametrize("code", ["RAS", "PIR"])
def test_a_sequence_stored_in_other_axes_changes_nothing(tmp_path: Path, code: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    write_case(tmp_path / "plain", "BraTS-PED-90001-000")
    turned = write_case(tmp_path / "turned", "BraTS-PED-90001-000")
    turn(turned / f"{turned.name}-t1c.nii.gz", code)
    expected = predicted(tmp_path / "plain", checkpoint)
    assert expected.any()
    assert np.array_equal(predicted(tmp_path / "turned", checkpoint), expected)


def test_a_background_that_is_not_0(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The whole volume counts as brain, which is said; told what the background is, the label map is the right one."""
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    case = write_case(tmp_path / "plain", "BraTS-PED-90001-000")
    (read,) = find_cases(case, cohort="input", labelled=False).cases
    images = read_images(read.images)
    box, brain = find_brain([image.data for image in images])
    outside = np.ones(images[0].data.shape, dtype=bool)
    outside[box] = ~brain
    for file, image in zip(read.images, images, strict=True):
        path = tmp_path / "other" / case.name / file.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.where(outside, -1, image.data).astype(np.int16).T, image.affine), path)
    expected = predicted(tmp_path / "plain", checkpoint)
    assert np.array_equal(predicted(tmp_path / "other", checkpoint, "--background", "-1"), expected)
    assert read_json(tmp_path / "other predicted" / "predictions.json")["background"] == -1
    (tmp_path / "other").rename(tmp_path / "untold")
    predicted(tmp_path / "untold", checkpoint)
    assert "values up to -1 are (data.cohorts.<name>.background, or --background)" in caplog.text
