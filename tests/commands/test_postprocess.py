"""The command that post-processes, on tiny synthetic runs and on folders."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from pedseg.commands import postprocess as entry
from pedseg.commands import train
from pedseg.files import read_json, write_json
from pedseg.inference.postprocessing import RULE_SETS
from pedseg.labels import get_convention
from pedseg.runs import RunFolder
from pedseg.settings.stored import read_settings

EVERY = list(entry.RULES)


@pytest.fixture(scope="module")
def trained(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of its own with two folds of UDA, for which a choice has been made, and a model of all adults."""
    folder = tmp_path_factory.mktemp("a world")
    shutil.copytree(toy_world, folder / "world")
    paths = [f"paths.{name}={folder / 'world' / name}" for name in ("adult", "ped", "store")]
    paths += [f"paths.runs={folder / 'runs'}", "trainer.enable_progress_bar=false", "prediction.mirror=false"]
    for job in (["experiment=uda", "fold=0"], ["experiment=uda", "fold=1"], ["experiment=m1_adult"]):
        assert train.main(["scale=toy", *paths, *job]) == 0
    for name in ("uda", "m1_adult"):
        (folder / "runs" / name / "prediction.mirror=false").rename(folder / "renamed")
        (folder / "runs" / name).rmdir()
        (folder / "renamed").rename(folder / "runs" / name)
    shutil.copytree(folder / "runs", folder / "untouched")
    assert run(folder / "runs" / "uda", "--rules", "keep_largest") == 0
    return folder


@pytest.fixture
def world(trained: Path, tmp_path: Path) -> Path:
    """A copy of the runs to write to, after the choice was made."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return tmp_path


def run(*words: object) -> int:
    return entry.main([*map(str, words), "--workers", "1", "--device", "cpu"])


def digests(*folders: Path) -> dict[str, str]:
    """Content of every file below, by path."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_rule_set_stands_beside_the_raw_result(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = world / "runs" / "uda"
    raw = digests(experiment)
    assert run(experiment, "--rules", *EVERY) == 0
    shown = capsys.readouterr().out
    assert raw.items() <= digests(experiment).items()  # no file has changed
    for fold in map(RunFolder, (experiment / "fold_0", experiment / "fold_1")):
        cases = {path.name for path in fold.variant("plain").path.glob("*.nii.gz")}
        for name in EVERY:
            folder = fold.variant(name).path
            assert {path.name for path in folder.glob("*.nii.gz")} == cases
            assert len((folder / "scores.csv").read_text().splitlines()) == 1 + 3 * len(cases)
            assert f"{experiment} · {name}: " in shown
        assert len(list((fold.source_validation / "adult").glob("*.nii.gz"))) in (1, 2)
    choice = read_json(experiment / "postprocessing.json")
    assert choice["folds"] == ["fold_0", "fold_1"]
    assert choice["cases"] == {"adult": 3}
    assert not choice["on_evaluated_cases"]
    assert [step["tried"] for step in choice["steps"]] == ["foreground", "wt", "tc", "et"]


def test_again_keeps_what_is_there_and_refuses_what_others_made(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = world / "runs" / "uda"
    assert run(experiment, "--rules", "peds2023_ed", "keep_largest") == 0
    before = digests(experiment)
    some = experiment / "fold_0" / "predictions" / "peds2023_ed"
    path = next(some.glob("*.nii.gz"))
    written = path.stat().st_mtime_ns
    assert run(experiment, "--rules", "peds2023_ed", "keep_largest") == 0
    assert digests(experiment) == before
    assert path.stat().st_mtime_ns == written
    write_json(some / "rules.json", read_json(some / "rules.json") | {"rules": ["something else"]})
    assert run(experiment, "--rules", "peds2023_ed") == 2
    assert "made by other rules" in capsys.readouterr().err
    assert run(experiment, "--rules", "peds2023_ed", "--overwrite") == 0
    assert digests(experiment) == before
    choice = experiment / "postprocessing.json"
    write_json(choice, read_json(choice) | {"folds": ["fold_0"]})
    assert run(experiment, "--rules", "keep_largest") == 2
    assert "chosen on other folds" in capsys.readouterr().err


def test_a_gain_on_source_cases_is_used_on_the_target(world: Path) -> None:
    """Source predictions that differ from their labels by a stray voxel ask for the largest component."""
    experiment = world / "runs" / "uda"
    for fold in map(RunFolder, (experiment / "fold_0", experiment / "fold_1")):
        cohort = Path(read_json(fold.config)["data"]["cohorts"]["adult"]["folder"])
        for path in (fold.source_validation / "adult").glob("*.nii.gz"):
            case = path.name.removesuffix(".nii.gz")
            image = nib.load(cohort / case / f"{case}-seg.nii.gz")
            label = np.asarray(image.dataobj).astype(np.uint8)
            label[0, 0, 0] = 2
            nib.save(nib.Nifti1Image(label, image.affine), path)
        path = min(fold.variant("plain").path.glob("*.nii.gz"))
        raw = np.asarray(nib.load(path).dataobj).copy()
        raw[0, 0, 0] = 2
        nib.save(nib.Nifti1Image(raw, nib.load(path).affine), path)
    assert run(experiment, "--rules", "keep_largest", "--overwrite") == 0
    choice = read_json(experiment / "postprocessing.json")
    assert choice["keep_largest"] == ["wt"]
    before, after = choice["steps"][0]["before"], choice["steps"][0]["after"]
    assert before["tc"] == after["tc"] == 1.0
    assert 0.8 < before["wt"] < after["wt"] <= 1.0
    changes = [read_json(path)["changes"] for path in experiment.glob("fold_*/predictions/keep_largest/rules.json")]
    assert sum(change["wt"] > 0 for fold_changes in changes for change in fold_changes.values()) == 2
    for path in experiment.glob("fold_*/predictions/keep_largest/*.nii.gz"):
        raw, kept = (np.asarray(nib.load(p).dataobj) > 0 for p in (path.parents[1] / "plain" / path.name, path))
        components, _ = ndimage.label(raw, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(components.ravel())[1:]
        np.testing.assert_array_equal(kept, np.isin(components, np.flatnonzero(sizes == max(sizes, default=0)) + 1))


def test_label_maps_of_another_convention_are_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = RunFolder(world / "runs" / "uda" / "fold_0").variant("plain").path / "predictions.json"
    write_json(record, read_json(record) | {"convention": str(get_convention("brats2021"))})
    assert run(world / "runs" / "uda", "--rules", "peds2023") == 2
    assert "holds label maps in brats2021" in capsys.readouterr().err


def test_labels_of_the_target_have_no_say(trained: Path, world: Path, tmp_path: Path) -> None:
    """With and without the children's labels on disk: the same choice and the same label maps, bit for bit."""
    assert run(world / "runs" / "uda", "--rules", *EVERY) == 0
    blind = tmp_path / "blind"
    shutil.copytree(trained / "world", blind / "world")
    shutil.copytree(trained / "untouched", blind / "runs")
    hidden = [*(blind / "world" / "ped").rglob("*seg*"), *(blind / "world" / "store" / "ped").rglob("label*")]
    hidden += (blind / "world" / "store" / "ped").rglob("foreground*")
    assert len(hidden) == 3 * 6
    for path in hidden:
        path.unlink()
    for config in (blind / "runs" / "uda").rglob("config.json"):
        config.write_text(config.read_text().replace(str(trained / "world"), str(blind / "world")))
    for scores in (blind / "runs" / "uda").rglob("scores.csv"):
        scores.unlink()
    assert run(blind / "runs" / "uda", "--rules", *EVERY) == 0
    assert not list((blind / "runs" / "uda").rglob("scores.csv"))
    kept = ("postprocessing.json", "rules.json")
    one, two = (
        {
            path.relative_to(runs): path.read_bytes()
            for path in runs.rglob("*")
            if path.suffix == ".gz" or path.name in kept
        }
        for runs in (world / "runs" / "uda", blind / "runs" / "uda")
    )
    assert Path("postprocessing.json") in one
    assert len(one) > 4 * len(EVERY)
    assert one == two


def test_without_held_out_cases_nothing_can_be_chosen(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m1 = world / "runs" / "m1_adult"
    assert run(m1, "--rules", "keep_largest", "peds2023") == 2
    error = capsys.readouterr().err
    assert "none is held out" in error
    assert "fold_all" in error
    assert not list(m1.rglob("peds2023"))
    assert run(m1, "--rules", "peds2023") == 0
    assert (m1 / "fold_all" / "predictions" / "peds2023" / "scores.csv").exists()
    assert run(world / "runs" / "uda" / "fold_1", "--rules", "keep_largest") == 2
    assert f"give {world / 'runs' / 'uda'}" in capsys.readouterr().err


def test_a_target_cohort_is_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run says that it trained on children's labels and without them: nothing is read for a choice."""
    shutil.rmtree(world / "runs" / "uda" / "fold_0" / "source_validation")
    config = RunFolder(world / "runs" / "uda" / "fold_0").config
    settings = read_json(config)
    settings["data"]["source"]["ped"] = "fold"
    write_json(config, settings)
    assert run(world / "runs" / "uda", "--rules", "keep_largest") == 2
    assert "both source and target" in capsys.readouterr().err
    assert not (config.parent / "source_validation").exists()


def test_what_is_not_finished_is_left_out(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunFolder(world / "runs" / "uda" / "fold_0").finished.unlink()
    assert run(world / "runs" / "uda", "--rules", "peds2023") == 0
    assert "fold_0 is left out: it is not finished" in capsys.readouterr().err
    assert not (world / "runs" / "uda" / "fold_0" / "predictions" / "peds2023").exists()
    RunFolder(world / "runs" / "uda" / "fold_1").finished.unlink()
    assert run(world / "runs" / "uda", "--rules", "peds2023") == 2
    assert run(world / "nothing", "--rules", "peds2023") == 2


def test_a_new_training_clears_what_belongs_to_the_old_one(world: Path) -> None:
    fold = RunFolder(world / "runs" / "uda" / "fold_0")
    assert fold.variant("keep_largest").scores.exists()
    assert fold.source_validation.exists()
    fold.begin(read_settings(fold.path), overwrite=True)
    assert not fold.variants()
    assert not fold.source_validation.exists()


AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Label maps of BraTS 2023: one with a small piece, one empty."""
    label = np.zeros((10, 12, 14), dtype=np.uint8)
    label[1:7, 1:7, 1:7] = 1
    label[1:7, 1:7, 1:2] = 3
    label[9, 11, 13] = 1
    (tmp_path / "some label maps").mkdir()
    for name, array in (("a.nii.gz", label), ("b.nii", np.zeros_like(label))):
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "some label maps" / name)
    return tmp_path / "some label maps"


def test_a_folder_of_anybody(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "the output"
    command = [sys.executable, "-m", "pedseg.postprocess", "--predictions", folder, "--output", output]
    done = subprocess.run(
        [*map(str, command), "--rules", "peds2023_components", "--workers", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 of 2 label maps changed" in done.stdout
    results = output / "peds2023_components"
    image = nib.load(results / "a.nii.gz")
    np.testing.assert_array_equal(image.affine, AFFINE)
    array = np.asarray(image.dataobj)
    assert array[9, 11, 13] == 0
    assert (array == 1).sum() == 180  # ET, 36 voxels, is a component of its own and goes
    assert (array == 3).sum() == 0
    assert not np.asarray(nib.load(results / "b.nii").dataobj).any()
    assert read_json(results / "rules.json")["changes"]["a"] == {"wt": 37, "tc": 37, "et": 36}


def test_a_choice_is_applied_to_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--predictions", folder, "--output", tmp_path / "out", "--rules", "keep_largest"]
    assert run(*words) == 2
    assert "--choice" in capsys.readouterr().err
    (tmp_path / "choice.json").write_text(json.dumps({"keep_largest": ["wt"]}))
    assert run(*words, "--choice", tmp_path / "choice.json") == 0
    array = np.asarray(nib.load(tmp_path / "out" / "keep_largest" / "a.nii.gz").dataobj)
    assert (array[9, 11, 13], (array > 0).sum()) == (0, 216)
    (tmp_path / "choice.json").write_text(json.dumps({"keep_largest": ["brain"]}))
    assert run(*words, "--choice", tmp_path / "choice.json") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give runs, or --predictions"),
        (["--predictions", "{folder}"], "belong together"),
        (["{folder}", "--predictions", "{folder}", "--output", "x"], "give runs, or --predictions"),
        (["--predictions", "{folder}", "--output", "x", "--convention", "nobody's"], "nobody's"),
        (["--predictions", "{folder}/none", "--output", "x"], "no such folder"),
        (["{folder}"], "no fold_*/config.json"),
    ],
)
def test_mistakes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    given = [word.format(folder=folder).replace("x", str(tmp_path / "x")) if word == "x" else word for word in words]
    assert run(*(word.format(folder=folder) for word in given), "--rules", "peds2023") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_command_knows_every_rule_set() -> None:
    assert set(entry.RULES) == {*RULE_SETS, "keep_largest"}


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'monai', 'lightning', 'pandas', 'nibabel', 'scipy', 'hydra', 'numpy'}"
    code = (
        f"import sys, pedseg.commands.postprocess as m; m.parser().format_help(); exit(len({heavy} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
