"""Run folders: continued by the same run, refused to another one."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.runs import RunFolder, required_checkpoint, settings_of

CONFIG: dict[str, Any] = {
    "seed": 0,
    "paths": {"adult": "/a"},
    "data": {"batch_size": 2, "num_workers": 3, "cohorts": {"adult": {"folder": "/a", "convention": "brats2021"}}},
    "trainer": {"max_epochs": 5, "devices": 1},
}


def changed(**values: Any) -> dict[str, Any]:
    return {**CONFIG, **values}


def test_settings_leave_out_the_machine() -> None:
    assert settings_of(CONFIG) == {
        "seed": 0,
        "data.batch_size": 2,
        "data.cohorts.adult.convention": "brats2021",
        "trainer.max_epochs": 5,
    }


def test_the_same_run_continues_elsewhere(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(CONFIG, overwrite=False)
    folder.metrics.write_text("epoch\n")
    folder.begin(changed(paths={"adult": "/b"}, trainer={"max_epochs": 5, "devices": 4}), overwrite=False)
    assert folder.metrics.exists()
    assert read_json(folder.config)["paths"] == {"adult": "/b"}


def test_a_run_of_before_test_time_adaptation_goes_on_without_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(changed(prediction={"step": 0.5}), overwrite=False)
    for rate in (1e-3, 1e-2):  # has no effect
        folder.begin(changed(prediction={"step": 0.5, "adapt_steps": 0, "adapt_rate": rate}), overwrite=False)
    adapting = {"step": 0.5, "adapt_steps": 10, "adapt_rate": 1e-3}
    with pytest.raises(PedsegError, match=r"adapt_rate: was 'not set', now 0\.001\n  prediction\.adapt_steps"):
        folder.begin(changed(prediction=adapting), overwrite=False)
    other = RunFolder(tmp_path / "other")
    other.begin(changed(prediction=adapting), overwrite=False)
    with pytest.raises(PedsegError, match="adapt_rate"):
        other.begin(changed(prediction=adapting | {"adapt_rate": 1e-2}), overwrite=False)


def test_a_run_of_before_there_were_kinds_of_networks_goes_on_with_the_first(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(changed(model={"norm": "batch"}), overwrite=False)
    folder.begin(changed(model={"name": "unet", "norm": "batch"}), overwrite=False)
    with pytest.raises(PedsegError, match=r"model\.name: was 'not set', now 'residual_unet'"):
        folder.begin(changed(model={"name": "residual_unet", "norm": "batch"}), overwrite=False)


def test_a_run_of_before_methods_had_their_settings_below_their_names_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    dann = {"alpha_max": 3.0, "classifier": {"blocks": 3}}
    folder.begin(changed(adaptation={"methods": {"dann": True}, **dann}), overwrite=False)
    own = {"_target_": "pedseg.adaptation.DomainAdversary", **dann}
    with pytest.raises(PedsegError, match=r"adaptation\.dann\.alpha_max: was 3\.0, now 5\.0"):
        folder.begin(changed(adaptation={"dann": {**own, "alpha_max": 5.0}}), overwrite=False)
    now = changed(adaptation={"dann": own}, domain_classifier={"blocks": 3})
    folder.begin(now, overwrite=False)
    assert folder.read_config() == read_json(folder.config) == now


def test_another_run_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(CONFIG, overwrite=False)
    before = folder.config.read_bytes()
    with pytest.raises(PedsegError, match="seed: was 0, now 1"):
        folder.begin(changed(seed=1), overwrite=False)
    assert folder.config.read_bytes() == before


def test_overwrite_clears(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(CONFIG, overwrite=False)
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
        folder.begin(CONFIG, overwrite=False)


def test_required_checkpoint_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match=r"pedseg train experiment=m1_adult"):
        required_checkpoint(tmp_path / "m1", command="pedseg train experiment=m1_adult")
