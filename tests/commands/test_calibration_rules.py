"""Every rule of calibration in runs and on folders, on the toy cohorts; no label of the target has a say."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.calibration.counts import Counts
from pedseg.calibration.per_case import PerCase
from pedseg.calibration.record import read_thresholds
from pedseg.commands import calibrate, convert, predict, report
from pedseg.files import read_json
from pedseg.runs import RunFolder
from tests.commands.test_variants import digests
from tests.training import rows, train

RULES = ("estimated", "bbse", "map", "per_case", "tent_estimated", "tent_per_case")
RUN = ("experiment=uda", "fold=0", "prediction.mirror=false", "run_name=uda")
ASKED = f"variant=[plain,calibrated,{','.join(RULES)}]"


def learnt(checkpoint: Path) -> None:
    """Turn the heads of TC and ET round, so that logits rise with what they stand for: a toy run learns to say no."""
    content = torch.load(checkpoint, weights_only=True)
    for value in content["state_dict"].values():
        if isinstance(value, Tensor) and value.shape[:1] == (3,):
            value[1:] *= -1
    torch.save(content, checkpoint)


@pytest.fixture(scope="module")
def trained_run(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a finished run that has no variant but the plain one; not to be written to."""
    runs = tmp_path_factory.mktemp("trained")
    assert train(toy_world, runs, *RUN) == 0
    learnt(RunFolder(runs / "uda" / "fold_0").checkpoint)
    return runs


@pytest.fixture(scope="module")
def many(trained_run: Path, toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run with a variant of every rule; not to be written to."""
    runs = shutil.copytree(trained_run, tmp_path_factory.mktemp("all rules") / "runs")
    assert train(toy_world, runs, *RUN, ASKED) == 0
    return RunFolder(runs / "uda" / "fold_0")


@pytest.fixture(scope="module")
def blind(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cohorts without a label of a child, on disk or in the store."""
    world = shutil.copytree(toy_world, tmp_path_factory.mktemp("blind") / "world")
    hidden = [*(world / "ped").rglob("*seg*"), *(world / "store" / "ped").rglob("label*")]
    hidden += (world / "store" / "ped").rglob("foreground*")
    assert len(hidden) == 3 * 6
    for path in hidden:
        path.unlink()
    return world


def made(run: RunFolder, name: str) -> dict[str, str]:
    """Thresholds and label maps of a variant, by their digests."""
    found = digests(run.variant(name).path)
    return {
        path: digest
        for path, digest in found.items()
        if path.endswith((".nii.gz", "thresholds.json", "sensitivity.csv"))
    }


def test_each_rule_leaves_what_it_rests_on(many: RunFolder) -> None:
    found = {name: read_json(many.variant(name).thresholds) for name in ("calibrated", *RULES)}
    assert {name: record["rule"] for name, record in found.items()} == {
        "calibrated": "published", **{name: name.removeprefix("tent_") for name in RULES}
    }  # fmt: skip
    assert found["calibrated"]["evidence"] == {}
    for name in RULES:
        evidence = found[name]["evidence"]["tc"]
        assert set(evidence) == {"estimated", "interval", "bbse", "source"}
        assert evidence["interval"][0] <= evidence["estimated"] <= evidence["interval"][1]
        assert evidence["source"]["slope"] > 0
    shares = {name: found[name]["shares"]["tc"] for name in found}
    assert shares["estimated"] == found["map"]["evidence"]["tc"]["estimated"] != shares["map"] != shares["calibrated"]
    maps = {name: made(many, name) for name in ("calibrated", "estimated", "per_case")}
    assert len({frozenset(one.items()) for one in maps.values()}) == len(maps)


def test_no_label_of_a_child_has_a_say(many: RunFolder, trained_run: Path, blind: Path, tmp_path: Path) -> None:
    """With and without them on disk, thresholds and label maps of every rule are the same, bit for bit."""
    runs = shutil.copytree(trained_run, tmp_path / "runs")
    assert train(blind, runs, *RUN, ASKED) == 0
    run = RunFolder(runs / "uda" / "fold_0")
    assert [path.parent.name for path in run.path.rglob("scores.csv")] == ["plain"]  # of before
    for name in ("calibrated", *RULES):
        assert len(made(many, name)) == 4
        assert made(run, name) == made(many, name)


def test_a_calibration_that_was_cut_off_ends_the_same(
    many: RunFolder, trained_run: Path, toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = shutil.copytree(trained_run, tmp_path / "runs")
    whole, left = Counts.count, iter(range(5))

    def counted(self: Counts, case: int, logits: Tensor, where: Tensor | None = None) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        whole(self, case, logits, where)

    with monkeypatch.context() as patch:
        patch.setattr(Counts, "count", counted)
        with pytest.raises(KeyboardInterrupt):
            train(toy_world, runs, *RUN, "variant=[plain,estimated]")
    run = RunFolder(runs / "uda" / "fold_0")
    assert not run.variant("estimated").thresholds.exists()
    assert predict.main(["--run", str(run.path), "--variant", "estimated", "--device", "cpu"]) == 0
    assert made(run, "estimated") == made(many, "estimated")


def test_a_folder_is_predicted_by_the_rule(many: RunFolder, toy_world: Path, tmp_path: Path) -> None:
    """Each case has its own threshold; of two networks that are the same, the ensemble is that network."""
    own = many.variant("per_case").path
    cases = sorted(path.name.removesuffix(".nii.gz") for path in own.glob("*.nii.gz"))
    for case in cases:
        shutil.copytree(toy_world / "ped" / case, tmp_path / "in put" / case)
    for count in (1, 2):
        folder = tmp_path / f"out {count}"
        runs = [str(many.path)] * count
        given = ["--run", *runs, "--variant", "per_case", "--input", str(tmp_path / "in put"), "--output", str(folder)]
        assert predict.main([*given, "--no-mirror", "--device", "cpu"]) == 0
        for case in cases:
            maps = [np.asarray(nib.load(at / f"{case}.nii.gz").dataobj) for at in (own, folder)]
            assert np.mean(maps[0] != maps[1]) < 0.002  # the run computes in the precision of its training
        recorded = read_json(folder / "predictions.json")["thresholds"]
        assert recorded == [read_json(many.variant("per_case").thresholds)["thresholds"]] * count


@pytest.mark.parametrize("kind", ["to-safetensors", "to-onnx", "to-bundle"])
def test_no_export_leaves_a_rule_out(
    many: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    output = tmp_path / ("bundle" if kind == "to-bundle" else "network.file")
    assert convert.main([kind, str(many.path), "--output", str(output), "--variant", "per_case"]) == 2
    assert "thresholds that depend on the case (calibration=per_case), which no export does" in capsys.readouterr().err
    assert not output.exists()


def test_a_source_of_which_nothing_is_held_out(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("experiment=m1_adult", "variant=[plain,estimated]", "variant.estimated.target=[ped]")
    assert train(toy_world, tmp_path, *asked) == 2
    assert "none is held out to make estimated with; leave that variant out" in capsys.readouterr().err
    assert not list(tmp_path.rglob("last.ckpt"))


@pytest.fixture
def imported(trained_run: Path, tmp_path: Path) -> RunFolder:
    """The same network, of which nobody knows where it was trained."""
    run = RunFolder(tmp_path / "a network")
    run.checkpoint.parent.mkdir(parents=True)
    shutil.copy(RunFolder(trained_run / "uda" / "fold_0").checkpoint, run.checkpoint)
    return run


def words(run: RunFolder, world: Path, *more: str) -> list[str]:
    folders = ["--run", str(run.path), "--input", str(world / "ped")]
    return [*folders, "--no-mirror", "--device", "cpu", *more]


@pytest.mark.parametrize("rule", ["estimated", "bbse", "map", "per_case"])
def test_a_network_from_elsewhere(
    imported: RunFolder, toy_world: Path, blind: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    """On folders, with labelled adults as the source; with the children's labels beside the images and without."""
    assert calibrate.main(words(imported, toy_world, "--rule", rule)) == 2
    assert f"names no source cases, and {rule} needs labelled ones" in capsys.readouterr().err
    source = ["--source", str(toy_world / "adult"), "--rule", rule]
    assert calibrate.main(words(imported, toy_world, *source)) == 2  # 8 mm is too coarse to tell
    assert "say it, such as --convention brats2023" in capsys.readouterr().err
    source += ["--convention", "brats2023"]
    assert calibrate.main(words(imported, toy_world, *source)) == 0
    assert "in the source" in capsys.readouterr().out
    place = imported.variant(rule)
    seen = place.thresholds.read_bytes()
    assert calibrate.main(words(imported, blind, *source, "--overwrite")) == 0
    assert place.thresholds.read_bytes() == seen
    assert isinstance(read_thresholds(place.thresholds), PerCase if rule == "per_case" else list)


def test_the_run_knows_its_source(many: RunFolder, trained_run: Path, toy_world: Path, tmp_path: Path) -> None:
    """The cases that it holds out; on its own target the command finds what training finds, up to its precision."""
    runs = shutil.copytree(trained_run, tmp_path / "runs")
    run = RunFolder(runs / "uda" / "fold_0")
    assert calibrate.main(words(run, toy_world, "--rule", "estimated", "--parts", "tc", "et", "--variant", "mine")) == 0
    found = read_json(run.variant("mine").thresholds)
    assert (found["images"], set(found["shares"])) == (6, {"tc", "et"})
    there = read_json(many.variant("estimated").thresholds)["evidence"]["tc"]["source"]
    assert found["evidence"]["tc"]["source"] == pytest.approx(there, rel=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--rule", "estimated", "--share", "tc=0.9"], "shares: estimated finds shares itself"),
        (["--rule", "map", "--share", "tc=0.8-0.9"], "map takes one share, not an interval"),
        (["--share", "tc=0.9-0.8"], "give the lower end first"),
        (["--parts", "et"], "calibrated_parts: is for calibration=estimated or bbse or per_case"),
        (["--rule", "map", "--share", "et=0.1"], "map calibrates ET within TC; give shares.tc too"),
    ],
)
def test_what_does_not_go_together(
    imported: RunFolder, toy_world: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
) -> None:
    assert calibrate.main(words(imported, toy_world, *given)) == 2
    assert message in capsys.readouterr().err
    assert not imported.predictions.exists()


def test_an_interval_of_the_published_share(
    imported: RunFolder, toy_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate.main(words(imported, toy_world, "--share", "tc=0.6-0.7")) == 0
    assert "it has 0.70" in capsys.readouterr().out  # it had more
    assert read_json(imported.variant("calibrated").thresholds)["shares"] == {"tc": 0.7}


def test_the_curve_is_scored_and_drawn(imported: RunFolder, many: RunFolder, toy_world: Path, tmp_path: Path) -> None:
    """Scoring comes last: with it and without it the thresholds are the same."""
    assert calibrate.main(words(imported, toy_world)) == 0
    place = imported.variant("calibrated")
    before, blank = place.thresholds.read_bytes(), rows(place.sensitivity)
    scored = ["--score", str(toy_world / "ped"), "--convention", "brats2023", "--overwrite"]
    assert calibrate.main(words(imported, toy_world, *scored)) == 0
    assert place.thresholds.read_bytes() == before
    after = rows(place.sensitivity)
    assert all(0 <= float(row["dice"]) <= 1 for row in after)
    assert [{**row, "dice": ""} for row in after] == blank
    copy = shutil.copytree(many.path, tmp_path / "runs" / "uda" / "fold_0")
    shutil.copy(place.sensitivity, RunFolder(copy).variant("calibrated").sensitivity)
    assert report.main([str(tmp_path / "runs"), "--output", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report" / "figures" / "sensitivity.svg").stat().st_size > 5000
    assert "What other shares would have given" in (tmp_path / "report" / "index.html").read_text()
