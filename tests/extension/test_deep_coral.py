"""A method of another package: its loss by hand, what is promised of every method, and runs by the command line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.adaptation import takes_from_target
from pedseg.modules import AdaptationModule
from pedseg.runs import RunFolder
from pedseg.settings.stored import read_settings
from tests.composed import plain, searched
from tests.extension.deep_coral import DeepCoral, covariance
from tests.methods import (
    assert_labels_change_no_bit,
    assert_no_gradient_of_the_segmentation,
    assert_resumes_exactly,
    fresh,
    make_batch,
    settings_of,
    step,
)
from tests.training import rows, train

CONF = Path(__file__).parent / "conf"


def module() -> AdaptationModule:
    return fresh(["deep_coral"], elsewhere=(CONF,))


def distance(source: Tensor, target: Tensor) -> float:
    """Of covariances, by NumPy's."""
    one, other = (np.cov(x.movedim(1, -1).reshape(-1, x.shape[1]).double().numpy().T) for x in (source, target))
    return float(((one - other) ** 2).sum() / (4 * len(one) ** 2))


@torch.no_grad()
def test_the_loss_is_the_distance_of_the_covariances() -> None:
    batch, training = make_batch(source=1, target=2), module()
    images = torch.cat([batch[side]["image"] for side in ("source", "target")])
    features = training.network.forward_features(images).bottleneck
    assert covariance(features).shape == (features.shape[1],) * 2
    whole, (method,) = step(training, batch), training.methods.values()
    assert isinstance(method, DeepCoral)
    method.weight = 0.0
    assert float(whole - step(training, batch)) == pytest.approx(distance(features[:1], features[1:]), rel=1e-4)
    alone = step(training, make_batch(source=1))
    method.weight = 1.0
    assert torch.equal(step(training, make_batch(source=1)), alone)


def test_promises_of_every_method(tmp_path: Path) -> None:
    assert_labels_change_no_bit(module, tmp_path)
    assert_no_gradient_of_the_segmentation(module)
    assert_resumes_exactly(module, tmp_path)


def test_it_trains_by_the_command_line(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("experiment=uda", "adaptation=[strong,deep_coral]", "adaptation.deep_coral.weight=0.5")
    assert train(toy_world, tmp_path, *command) == 2  # nobody has said where the file is
    assert train(toy_world, tmp_path, *command, *searched([CONF])) == 0
    (folder,) = map(RunFolder, tmp_path.rglob("fold_0"))
    adaptation = read_settings(folder.path).adaptation.root
    assert adaptation["deep_coral"]["weight"] == 0.5
    assert takes_from_target(adaptation)
    assert not takes_from_target({**adaptation, "deep_coral": {**adaptation["deep_coral"], "weight": 0}})
    assert any(float(row["train/loss_coral"] or 0) > 0 for row in rows(folder.metrics))
    assert len(rows(folder.variant("plain").scores)) == 3 * 2
    capsys.readouterr()
    assert train(toy_world, tmp_path, *command[:2], "adaptation.deep_coral.weight=-1", *searched([CONF])) == 2
    assert "adaptation.deep_coral.weight=-1: should be greater than or equal to 0" in capsys.readouterr().err


def test_an_importable_package_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mypackage"
    shutil.copytree(CONF, package / "conf")
    for folder in (package, package / "conf"):
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = plain("adaptation=deep_coral", "hydra.searchpath=[pkg://mypackage.conf]")["adaptation"]
    assert found == settings_of("deep_coral", (CONF,))
