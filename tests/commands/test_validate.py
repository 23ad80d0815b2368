"""The command that scores runs without labels of the target, on tiny synthetic runs."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pedseg.choosing.published_sizes import published_sizes
from pedseg.choosing.scores import majority, mean_dice
from pedseg.choosing.validators import VALIDATORS
from pedseg.commands import report, train
from pedseg.commands import validate as entry
from pedseg.data import CohortStore
from pedseg.files import read_json, write_json
from pedseg.inference import load_network
from pedseg.labels import Region
from pedseg.runs import RunFolder, VariantFolder
from pedseg.settings.population import load_population
from pedseg.settings.stored import read_settings
from tests.composed import IMPORTED

UDA = "uda"
NAMES = (UDA, "uda_seed1", "m3_mixed", "m1_adult")


@pytest.fixture(scope="module")
def untouched(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of its own with a run of UDA and one of all adults; and, made from the first, two more.

    These are a member with other weights, and a model that says it was trained on labelled children too.
    """
    folder = tmp_path_factory.mktemp("a world")
    shutil.copytree(toy_world, folder / "world")
    paths = [f"paths.{name}={folder / 'world' / name}" for name in ("adult", "ped", "store")]
    for name, job in ((UDA, ["experiment=uda", "fold=0"]), ("m1_adult", ["experiment=m1_adult"])):
        where = [f"run_dir='{fold(folder / 'runs', name).path}'"]
        quick = ["trainer.enable_progress_bar=false", "prediction.mirror=false", "prediction.precision='32'"]
        assert train.main(["scale=toy", *paths, *job, *where, *quick]) == 0
    for name in ("uda_seed1", "m3_mixed"):
        shutil.copytree(folder / "runs" / UDA, folder / "runs" / name)
    checkpoint = fold(folder / "runs", "uda_seed1").checkpoint
    content = torch.load(checkpoint, weights_only=True)
    generator = torch.Generator().manual_seed(0)
    for weight in content["state_dict"].values():
        weight.add_(0.3 * weight.abs().mean() * torch.randn(weight.shape, generator=generator))
    torch.save(content, checkpoint)
    settings = read_json(fold(folder / "runs", "m3_mixed").config)
    settings["data"] |= {"source": {"adult": "fold", "ped": "fold"}, "target": []}
    write_json(fold(folder / "runs", "m3_mixed").config, settings)
    return folder


@pytest.fixture(scope="module")
def validated(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs with their scores; not to be written to."""
    folder = tmp_path_factory.mktemp("validated")
    shutil.copytree(untouched / "runs", folder / "runs")
    assert run(folder / "runs") == 0
    return folder / "runs"


@pytest.fixture
def runs(validated: Path, tmp_path: Path) -> Path:
    """A copy to write to."""
    shutil.copytree(validated, tmp_path / "runs")
    return tmp_path / "runs"


def run(*words: object) -> int:
    return entry.main([*map(str, words), "--device", "cpu"])


def fold(runs: Path, name: str) -> RunFolder:
    return RunFolder(runs / name / ("fold_all" if name == "m1_adult" else "fold_0"))


def plain(runs: Path, name: str) -> VariantFolder:
    return fold(runs, name).variant("plain")


def scores(runs: Path, name: str) -> dict[str, float | None]:
    found: dict[str, float | None] = read_json(plain(runs, name).validators)["scores"]
    return found


def masks_of(run: VariantFolder) -> list[Any]:
    """Masks (regions, D, H, W) of the target's cases."""
    file = np.load(run.target_masks)
    bits = np.split(file["bits"], np.cumsum([-(-int(np.prod(s)) // 8) for s in file["shapes"]])[:-1])
    return [np.unpackbits(b)[: np.prod(s)].reshape(s).astype(bool) for b, s in zip(bits, file["shapes"], strict=True)]


def sizes_by_hand(run: VariantFolder, *, mm3: float) -> float:
    """Score of the masks beside the file."""
    volumes = [[mm3 * np.logical_or.reduce(masks[i:]).sum() for i in range(3)] for masks in masks_of(run)]
    return published_sizes([(wt, tc, et) for wt, tc, et in volumes], load_population("brats_peds2023"))


def test_every_validator_of_an_adapting_run(validated: Path, untouched: Path) -> None:
    record = read_json(plain(validated, UDA).validators)
    found = record["scores"]
    assert set(found) == set(VALIDATORS)
    assert {name for name, value in found.items() if value is None} <= {"shares"}  # a toy may not have learnt TC
    share = record["details"]["core_share"]
    assert (share is None) == (found["shares"] is None)
    spacing = load_network(fold(validated, UDA).checkpoint).spacing_mm
    held_out = [case for _, case in record["settings"]["source"]]
    store = CohortStore(untouched / "world" / "store" / "adult")
    assert set(held_out) < set(store.case_ids)
    children = {case for _, case in record["settings"]["target"]}
    assert len(children) == 4
    assert not children & {path.name.removesuffix(".nii.gz") for path in plain(validated, UDA).path.iterdir()}
    assert record["checkpoint"] == load_network(fold(validated, UDA).checkpoint).identity
    assert record["details"]["snd_voxels"] == 100 * len(children)
    assert record["synthetic"]
    assert not record["target_labels"]
    assert -np.log(2) <= found["entropy"] < 0
    assert 0 < found["snd"] < np.log(100 * len(children) - 1)
    assert 0 <= found["source_dice"] <= 1
    assert found["sizes"] == pytest.approx(sizes_by_hand(plain(validated, UDA), mm3=float(np.prod(spacing))))
    assert -1 <= found["probe_decoder"] <= 0
    assert -1 <= found["probe_bottleneck"] <= 0


def test_the_rule_and_the_reliability_stand_beside_each_network(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = read_json(plain(runs, UDA).validators)
    assert record["control"].keys() == record["scores"].keys()
    assert record["control"]["snd"] == record["scores"]["snd"]  # of features
    assert record["control"]["checkpoint_agreement"] is None
    table = pd.read_csv(plain(runs, UDA).reliability)
    assert set(table["region"]) == {"wt", "tc", "et"}
    assert plain(runs, UDA).reliability.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert run(runs) == 0
    assert capsys.readouterr().out.count("TC := WT") == len(NAMES)


def test_published_sizes_that_the_images_contradict_are_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = read_json(plain(runs, UDA).validators)
    for low, high, said in ((0.5, 0.7, True), (0.85, 0.95, False)):
        record["details"]["core_share"] = {"estimated": (low + high) / 2, "low": low, "high": high}
        write_json(plain(runs, UDA).validators, record)
        assert run(runs / UDA) == 0
        error = capsys.readouterr().err
        assert ("published sizes say that TC is 0.92 of WT, and the images speak for 0.60" in error) == said


def test_what_was_trained_on_labels_has_no_vote(validated: Path) -> None:
    assert scores(validated, "m3_mixed")["checkpoint_agreement"] is None
    assert read_json(plain(validated, "m3_mixed").validators)["target_labels"]
    identity = {name: read_json(plain(validated, name).validators)["checkpoint"] for name in NAMES}
    for name in (UDA, "uda_seed1", "m1_adult"):
        others = {identity[other] for other in (UDA, "uda_seed1", "m1_adult") if other != name}
        assert read_json(plain(validated, name).validators)["details"]["compared_with"] == sorted(others)
    masks: dict[str, list[Any]] = {}
    for name in (UDA, "uda_seed1", "m1_adult"):
        masks[name] = masks_of(plain(validated, name))
        assert masks[name][0].shape[0] == len(Region)
    expected = np.mean(
        [
            mean_dice(a, majority([b, c]))
            for a, b, c in zip(*(masks[n] for n in (UDA, "uda_seed1", "m1_adult")), strict=True)
        ]
    )
    assert scores(validated, UDA)["checkpoint_agreement"] == pytest.approx(expected)


def test_a_run_of_all_adults_has_no_scores_of_the_source(validated: Path) -> None:
    found = scores(validated, "m1_adult")
    missing = {name for name, value in found.items() if value is None}
    assert missing == {"source_dice", "dev", "probe_decoder", "probe_bottleneck", "shares"}
    assert not plain(validated, "m1_adult").reliability.exists()
    settings = [read_json(plain(validated, name).validators)["settings"]["target"] for name in (UDA, "m1_adult")]
    assert settings[0] == settings[1]  # the children that an adapting run of the fold trains on


def test_labels_of_the_target_have_no_say(untouched: Path, validated: Path, tmp_path: Path) -> None:
    """With and without the children's labels on disk: the same files, bit for bit."""
    blind = tmp_path / "blind"
    shutil.copytree(untouched, blind)
    hidden = [*(blind / "world" / "ped").rglob("*seg*"), *(blind / "world" / "store" / "ped").rglob("label*")]
    hidden += (blind / "world" / "store" / "ped").rglob("foreground*")
    assert len(hidden) == 3 * 6
    for path in hidden:
        path.unlink()
    for path in (blind / "runs").rglob("scores.csv"):
        path.unlink()
    for config in (blind / "runs").rglob("config.json"):
        config.write_text(config.read_text().replace(str(untouched / "world"), str(blind / "world")))
    assert run(blind / "runs") == 0
    for name in NAMES:
        for one, two in zip(_files(plain(validated, name)), _files(plain(blind / "runs", name)), strict=True):
            assert one == two
    assert report.main([str(blind / "runs"), "--output", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.suffix in (".md", ".csv")} == {
        "validators.md", "validators.csv",
    }  # fmt: skip


def _files(run: VariantFolder) -> list[bytes]:
    with np.load(run.target_masks) as masks:
        return [run.validators.read_bytes(), *(masks[name].tobytes() for name in sorted(masks))]


def test_what_is_current_is_kept(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (_files(plain(runs, name)), plain(runs, name).target_masks.stat().st_mtime_ns) for name in NAMES}
    assert run(runs) == 0
    assert capsys.readouterr().out.count("has been validated") == 4
    assert before == {n: (_files(plain(runs, n)), plain(runs, n).target_masks.stat().st_mtime_ns) for n in NAMES}
    assert run(runs / UDA) == 0  # alone: the comparison with others is kept
    assert _files(plain(runs, UDA)) == before[UDA][0]
    record = read_json(plain(runs, UDA).validators)
    write_json(plain(runs, UDA).validators, record | {"checkpoint": "another"})
    plain(runs, "m1_adult").target_masks.unlink()
    assert run(runs) == 0
    assert capsys.readouterr().out.count("has been validated") == 3
    assert _files(plain(runs, UDA)) == before[UDA][0]
    assert run(runs / UDA, "--cases", "2") == 0
    record = read_json(plain(runs, UDA).validators)
    assert len(record["settings"]["target"]) == 2
    assert record["scores"]["checkpoint_agreement"] is None


def test_runs_without_a_target_get_that_of_the_others(untouched: Path, tmp_path: Path) -> None:
    """As where the scored children are a cohort of their own: here the adults are scored."""
    for name in (UDA, "m1_adult"):
        shutil.copytree(fold(untouched / "runs", name).path, fold(tmp_path, name).path)
    settings = read_json(fold(tmp_path, "m1_adult").config)
    settings["data"] |= {"evaluation": "adult", "source": {"adult": "fold"}}
    write_json(fold(tmp_path, "m1_adult").config, settings)

    def cohorts() -> set[str]:
        return {cohort for cohort, _ in read_json(plain(tmp_path, "m1_adult").validators)["settings"]["target"]}

    assert run(tmp_path, "--cases", "1") == 0
    assert cohorts() == {"ped"}
    assert run(tmp_path / "m1_adult", "--cases", "1") == 0
    assert cohorts() == {"adult"}
    assert run(tmp_path / "m1_adult", "--cases", "1", "--target", "ped") == 0
    assert cohorts() == {"ped"}


def test_a_new_training_clears_them(runs: Path) -> None:
    one = plain(runs, UDA)
    fold(runs, UDA).begin(read_settings(one.run), overwrite=True)
    assert not one.validators.exists()
    assert not one.target_masks.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{runs}/nothing"], "no fold_*/config.json"),
        (["{runs}/m1_adult", "--target", "elderly"], "'elderly'"),
    ],
)
def test_mistakes(runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert run(*(word.format(runs=runs) for word in words)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value", "least"), [("--cases", "0", 1), ("--seed", "-1", 0), ("--seed", "x", 0)])
def test_numbers_that_cannot_be(
    option: str, value: str, least: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, option, value)
    assert f"argument {option}: {value!r} is no whole number from {least} on" in capsys.readouterr().err


def test_what_is_not_finished_is_left_out(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold(runs, UDA).finished.unlink()
    write_json(runs / "imported" / "fold_0" / "config.json", IMPORTED)
    assert run(runs / UDA, runs / "imported") == 2
    error = capsys.readouterr().err
    assert "fold_0 is left out: it is not finished" in error
    assert "was imported" in error
    assert "no finished run" in error


def test_networks_are_measured_as_they_predict(runs: Path) -> None:
    """Each variant by itself: with norms adapted to each case, and above thresholds."""
    before, run_folder = scores(runs, UDA), fold(runs, UDA)
    tent, high = run_folder.variant("tent"), run_folder.variant("high")
    write_json(tent.settings, {"adapt_steps": 3, "adapt_rate": 1e-3})
    write_json(high.settings, {"shares": {"tc": 0.9}, "target": ["ped"]})
    write_json(high.thresholds, {"thresholds": {"wt": 30.0, "tc": 0.0, "et": 0.0}})
    write_json(run_folder.variant("cleared").settings, {"rules": "peds2023"})
    assert run(runs / UDA) == 0
    assert not run_folder.variant("cleared").validators.exists()  # no prediction of its own
    found = {place.name: read_json(place.validators)["scores"] for place in (tent, high)}
    assert found["tent"]["snd"] != before["snd"]  # features of adapted norms
    assert found["high"]["snd"] == before["snd"]
    assert scores(runs, UDA) == {**before, "checkpoint_agreement": scores(runs, UDA)["checkpoint_agreement"]}
    assert any(mask.any() for mask in masks_of(run_folder.variant("plain")))
    assert not any(mask.any() for mask in masks_of(high))  # no logit is that high, and no part reaches out
    compared = read_json(plain(runs, UDA).validators)["details"]["compared_with"]
    identity = read_json(plain(runs, UDA).validators)["checkpoint"]
    assert compared == sorted([f"{identity} · high", f"{identity} · tent"])
