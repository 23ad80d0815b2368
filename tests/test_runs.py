"""Run folders: continued by the same run, refused to another one."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.runs import RunFolder, required_checkpoint
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import read_settings
from pedseg.settings.variants import Variant
from tests.composed import plain as config
from tests.composed import settings

SETTINGS = settings()


def changed(**values: Any) -> RunSettings:
    return settings(**values)


def begun_before(folder: RunFolder, **without: str) -> None:
    """Write the config.json of a run of before there was a key, group by group."""
    old = config()
    for group, key in without.items():
        del old[group][key]
    write_json(folder.config, old)


def test_the_same_run_continues_elsewhere(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(SETTINGS, overwrite=False)
    folder.metrics.write_text("epoch\n")
    folder.begin(changed(paths={"adult": "/b"}, trainer={"devices": 4}), overwrite=False)
    assert folder.metrics.exists()
    assert read_settings(folder.path).data.cohorts["adult"].folder == Path("/b")


def test_a_run_goes_on_with_other_variants(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(SETTINGS, overwrite=False)
    folder.begin(changed(variant={"tent": {"adapt_steps": 10}}), overwrite=False)
    assert read_settings(folder.path).variant["tent"].adapt_steps == 10


@pytest.mark.parametrize(
    ("groups", "name", "how"),
    [
        ({}, "plain", {}),
        ({"prediction": {"adapt_steps": 0, "adapt_rate": 1e-3}}, "plain", {}),
        ({"prediction": {"adapt_steps": 10, "adapt_rate": 1e-2}}, "tent", {"adapt_steps": 10, "adapt_rate": 1e-2}),
        (
            {"calibration": {"ratios": {"tc": 0.9}, "target": ["ped"]}},
            "calibrated",
            {"shares": {"tc": 0.9}, "target": ["ped"]},
        ),
    ],
)
def test_a_run_of_before_variants_is_read_as_its_only_one(
    tmp_path: Path, groups: dict[str, Any], name: str, how: dict[str, Any]
) -> None:
    run = RunFolder(tmp_path / "fold_0")
    old = config()
    del old["variant"]
    for group, values in groups.items():
        old[group] = {**old.get(group, {}), **values}
    write_json(run.config, old)
    for path in ("predictions/a.nii.gz", "scores.csv", "validators.json", "postprocessed/peds2023/scores.csv"):
        (run.path / path).parent.mkdir(parents=True, exist_ok=True)
        (run.path / path).touch()
    assert sorted(place.name for place in run.variants()) == sorted([name, "peds2023"])
    place = run.variant(name)
    assert (place.path, place.scores) == (run.predictions, run.path / "scores.csv")
    assert place.how() == Variant.model_validate(how)
    cleared = run.variant("peds2023").how()
    assert cleared is not None
    assert (cleared.rules, cleared.of) == ("peds2023", name)
    assert run.variant("mirrored").path == run.predictions / "mirrored"  # what is made now lies in a folder of its own
    run.begin(read_settings(run.path), overwrite=False)
    assert read_settings(run.path).variant == {name: Variant.model_validate(how)}


def test_a_run_of_before_there_were_kinds_of_networks_goes_on_with_the_first(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    begun_before(folder, model="name")
    folder.begin(SETTINGS, overwrite=False)
    with pytest.raises(PedsegError, match=r"model\.name: was 'unet', now 'residual_unet'"):
        folder.begin(changed(model={"name": "residual_unet"}), overwrite=False)


def test_a_run_of_before_methods_had_their_settings_below_their_names_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    dann = {"alpha_max": 3.0, "classifier": {"blocks": 3}}
    write_json(folder.config, config(adaptation={"methods": {"dann": True}, **dann}))
    own = {"_target_": "pedseg.adaptation.DomainAdversary", **dann}
    with pytest.raises(PedsegError, match=r"adaptation\.dann\.alpha_max: was 3\.0, now 5\.0"):
        folder.begin(changed(adaptation={"dann": {**own, "alpha_max": 5.0}}), overwrite=False)
    now = changed(adaptation={"dann": own}, domain_classifier={"blocks": 3})
    folder.begin(now, overwrite=False)
    assert read_settings(folder.path) == now


def test_another_run_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(SETTINGS, overwrite=False)
    before = folder.config.read_bytes()
    with pytest.raises(PedsegError, match="seed: was 0, now 1"):
        folder.begin(changed(seed=1), overwrite=False)
    assert folder.config.read_bytes() == before


def test_overwrite_clears(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(SETTINGS, overwrite=False)
    folder.checkpoint.parent.mkdir()
    folder.checkpoint.touch()
    (tmp_path / "run" / "notes.txt").touch()
    folder.begin(changed(seed=1), overwrite=True)
    assert not folder.checkpoint.exists()
    assert (tmp_path / "run" / "notes.txt").exists()  # not ours
    assert read_json(folder.config)["seed"] == 1


def test_a_run_without_configuration_is_not_touched(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoint.parent.mkdir(parents=True)
    folder.checkpoint.touch()
    with pytest.raises(PedsegError, match="without config"):
        folder.begin(SETTINGS, overwrite=False)


def test_required_checkpoint_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match=r"pedseg train experiment=m1_adult"):
        required_checkpoint(tmp_path / "m1", command="pedseg train experiment=m1_adult")
