"""One training, many predictions: the variants of a run, on the toy cohorts."""

import hashlib
import shutil
from pathlib import Path

import pytest

from pedseg.assembly import calibration
from pedseg.calibration.record import read_thresholds
from pedseg.commands import convert, predict
from pedseg.files import read_json, write_json
from pedseg.reporting.rows import load_models
from pedseg.runs import RunFolder
from tests.training import rows, train

LATER = ("tent", "calibrated", "tent_calibrated", "keep_largest", "peds2023", "mirrored")
RUN = ("experiment=uda", "fold=0", "prediction.mirror=false", "run_name=uda")


def variants(*names: str) -> str:
    return f"variant=[{','.join(names)}]"


def digests(folder: Path) -> dict[str, str]:
    """Content of every file below, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def written(run: RunFolder, name: str) -> dict[str, str]:
    """What a variant holds but for scores and how many there are, and for records of other folders."""
    found = digests(run.variant(name).path)
    return {path: digest for path, digest in found.items() if path not in ("scores.csv", "finished.json")}


@pytest.fixture(scope="module")
def many(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was predicted in every way when it was trained; not to be written to."""
    runs = tmp_path_factory.mktemp("many")
    assert train(toy_world, runs, *RUN, variants("plain", *LATER)) == 0
    return RunFolder(runs / "uda" / "fold_0")


def test_each_lies_in_a_folder_of_its_own(many: RunFolder) -> None:
    assert {place.name for place in many.variants()} == {"plain", *LATER}
    cases = {row["case"] for row in rows(many.variant("plain").scores)}
    for place in many.variants():
        assert {path.name for path in place.path.glob("*.nii.gz")} == {f"{case}.nii.gz" for case in cases}
        assert {row["case"] for row in rows(place.scores)} == cases
        assert read_json(place.finished) == {"predicted": len(cases), "scored": len(cases)}
        assert place.thresholds.exists() == ("calibrated" in place.name)
        assert (place.path / "rules.json").exists() == (place.name in {"keep_largest", "peds2023"})
    records = {name: read_json(many.variant(name).path / "predictions.json") for name in ("plain", "tent", "mirrored")}
    assert records["tent"] == {**records["plain"], "adapt_steps": 10, "adapt_rate": 0.001}
    assert records["mirrored"] == {**records["plain"], "mirror": True}


def test_later_ones_are_the_same_and_nothing_is_trained(many: RunFolder, toy_world: Path, tmp_path: Path) -> None:
    """A finished run is asked for other variants, by the command that trained it and by the one that predicts."""
    assert train(toy_world, tmp_path, *RUN) == 0
    run = RunFolder(tmp_path / "uda" / "fold_0")
    assert [place.name for place in run.variants()] == ["plain"]
    trained, before = run.checkpoint.stat().st_mtime_ns, digests(run.variant("plain").path)
    assert train(toy_world, tmp_path, *RUN, variants("plain", "tent", "keep_largest")) == 0
    for name in ("calibrated", "peds2023"):
        assert predict.main(["--run", str(tmp_path / "uda"), "--variant", name, "--device", "cpu"]) == 0
    assert run.checkpoint.stat().st_mtime_ns == trained
    assert digests(run.variant("plain").path) == before
    for name in ("tent", "keep_largest", "calibrated", "peds2023"):
        maps = {path for path in written(run, name) if path.endswith(".nii.gz")}
        assert maps
        assert {path: written(run, name)[path] for path in maps} == {path: written(many, name)[path] for path in maps}
        assert run.variant(name).scores.read_text() == many.variant(name).scores.read_text()


def test_labels_of_the_target_have_no_say_but_in_scores(
    many: RunFolder, toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With and without the children's labels on disk every variant is the same, bit for bit."""
    blind = tmp_path / "blind"
    shutil.copytree(toy_world, blind)
    hidden = [*(blind / "ped").rglob("*seg*"), *(blind / "store" / "ped").rglob("label*")]
    hidden += (blind / "store" / "ped").rglob("foreground*")
    assert len(hidden) == 3 * 6
    for path in hidden:
        path.unlink()
    capsys.readouterr()
    assert train(blind, tmp_path / "runs", *RUN, variants("plain", *LATER)) == 0
    run = RunFolder(tmp_path / "runs" / "uda" / "fold_0")
    assert "have no label and no score" in capsys.readouterr().out
    assert not list(run.path.rglob("scores.csv"))
    for name in ("plain", *LATER):
        seen, unseen = written(many, name), written(run, name)
        checkpoints = {"predictions.json"}  # it names the checkpoint by its digest, which holds times
        assert {p: d for p, d in seen.items() if p not in checkpoints} == {
            p: d for p, d in unseen.items() if p not in checkpoints
        }


def test_a_variant_that_was_cut_off_goes_on(toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training is over then; what was predicted before stays, and the rest is made."""
    asked = (*RUN, variants("plain", "calibrated"))
    with monkeypatch.context() as patch:
        patch.setattr(calibration, "write_thresholds", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("power")))
        with pytest.raises(RuntimeError, match="power"):
            train(toy_world, tmp_path, *asked)
    run = RunFolder(tmp_path / "uda" / "fold_0")
    assert run.variant("plain").finished.exists()
    assert not run.finished.exists()
    plain, checkpoint = digests(run.variant("plain").path), run.checkpoint.read_bytes()
    assert train(toy_world, tmp_path, *asked) == 0
    assert run.finished.exists()
    assert run.checkpoint.read_bytes() == checkpoint
    assert digests(run.variant("plain").path) == plain
    found = read_thresholds(run.variant("calibrated").thresholds)
    record = read_json(run.variant("calibrated").path / "predictions.json")
    assert record.get("thresholds") == (pytest.approx(found) if found else None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["variant=[plain,tent]", "variant.tent.adapt_steps=3"], "adapt_steps was 10, now 3"),
        (["variant=[plain,nope]"], "nope"),
        (["+variant.mine={rules: peds2023, of: yours}"], "yours is not among the variants; give variant=[yours,mine]"),
        (["+variant.mine={rules: peds2023, of: plain, adapt_steps: 1}"], "leave adapt_steps to that one"),
        (["+variant.mine={shares: {tc: 1.5}}"], "variant.mine.shares.tc=1.5"),
        (["+variant.mine={shares: {tc: 0.5}, target: [adult]}"], "both source and target"),
        (["+variant.mine={adapt_step: 1}"], "did you mean adapt_steps?"),
    ],
)
def test_mistakes_change_nothing(
    many: RunFolder, toy_world: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    before = digests(many.path)
    assert train(toy_world, many.path.parents[1], *RUN, *overrides) == 2
    assert message in capsys.readouterr().err
    assert digests(many.path) == before


def test_what_is_chosen_needs_held_out_cases(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(toy_world, tmp_path, "experiment=m1_adult", variants("plain", "keep_largest")) == 2
    assert "none is held out" in capsys.readouterr().err
    assert not list(tmp_path.rglob("last.ckpt"))


def test_tables_have_a_row_for_each_prediction(many: RunFolder) -> None:
    models = load_models([many.path.parents[1]])
    assert [model.name for model in models] == ["UDA", *(f"UDA · {name}" for name in sorted(LATER[:3] + LATER[-1:]))]
    assert all(model.how == many.variant(model.variant).how() for model in models)


@pytest.mark.parametrize(
    ("variant", "message"),
    [("tent", "adapts to each case"), ("keep_largest", "is no prediction"), ("nope", "has no variant nope")],
)
def test_what_no_export_does_is_refused(
    many: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], variant: str, message: str
) -> None:
    output = tmp_path / "network.safetensors"
    assert convert.main(["to-safetensors", str(many.path), "--output", str(output), "--variant", variant]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_run_of_before_variants_gets_more(many: RunFolder, toy_world: Path, tmp_path: Path) -> None:
    """Its label maps, at the top of predictions, stand for the plain variant and stay."""
    run = RunFolder(tmp_path / "uda" / "fold_0")
    shutil.copytree(many.path, run.path)
    for path in run.predictions.iterdir():
        if path.name != "plain":
            shutil.rmtree(path)
    for path in (run.predictions / "plain").iterdir():
        shutil.move(path, run.path if path.name == "scores.csv" else run.predictions)
    for path in (run.predictions / "plain", run.predictions / "variant.json", run.predictions / "finished.json"):
        path.rmdir() if path.is_dir() else path.unlink()
    config = read_json(run.config)
    del config["variant"]
    config["prediction"] |= {"adapt_steps": 0, "adapt_rate": 0.001}
    config["calibration"] = {"ratios": {}, "target": None}
    write_json(run.config, config)
    before = digests(run.predictions)
    assert train(toy_world, tmp_path, *RUN, variants("plain", "peds2023")) == 0
    assert before.items() <= digests(run.predictions).items()
    assert not (run.predictions / "plain").exists()
    assert run.variant("peds2023").scores.read_text() == many.variant("peds2023").scores.read_text()
