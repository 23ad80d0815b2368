"""Checkpoints that a training cannot go on from are refused before its first step, with their name."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg.errors import PedsegError
from pedseg.inference.checkpoint import read_checkpoint
from pedseg.inference.continuing import check_optimizers, finished_epochs
from pedseg.inference.seals import SEAL, sealed
from tests.faults.mutate import changed

PLACE = Path("run/checkpoints/last.ckpt")


def content() -> dict[str, Any]:
    counts = {"total": {"ready": 2, "completed": 2}, "is_last_batch": True, "state_dict": {}}
    return {
        "epoch": 4,
        "global_step": 10,
        "state_dict": {"network.a": torch.ones(2)},
        "loops": {"fit_loop": {"epoch_progress": counts}},
        "callbacks": {"AdversaryHealth": {"epochs": [], "said": []}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
    }


def test_whole_ones_are_read(tmp_path: Path) -> None:
    torch.save(content(), tmp_path / "older.ckpt")
    torch.save(sealed(content()), tmp_path / "last.ckpt")
    assert finished_epochs(tmp_path / "older.ckpt") == finished_epochs(tmp_path / "last.ckpt") == 5


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("epoch",), 5),
        (("loops", "fit_loop", "epoch_progress", "total", "ready"), 3),
        (("optimizer_states", 0, "param_groups", 0, "lr"), 0.2),
        (("optimizer_states", 0, "state", 0, "momentum_buffer"), torch.ones(3)),
        (("state_dict",), {}),
        ((SEAL,), "0" * 64),
    ],
)
def test_edited_ones_are_told(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    torch.save(changed(sealed(content()), place, value), tmp_path / "last.ckpt")
    with pytest.raises(PedsegError, match=r"last\.ckpt: was edited, or put together from parts"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("epoch",), -1, "epoch -1"),
        (("epoch",), True, "epoch True"),
        (("global_step",), 10**30, "global_step"),
        (("loops", "fit_loop", "epoch_progress", "total", "ready"), "\x1b]0;x\x07", "loops"),
        (("loops", "fit_loop", "epoch_progress", "total"), [], "loops"),
        (("callbacks", "AdversaryHealth"), None, "callbacks.AdversaryHealth None"),
        (("optimizer_states",), 5, "optimizer_states 5"),
        (("optimizer_states", 0, "param_groups"), "x", "param_groups"),
        (("lr_schedulers",), 10**20, "lr_schedulers"),
    ],
)
def test_nonsense_that_was_sealed_is_refused(tmp_path: Path, place: tuple[Any, ...], value: Any, said: str) -> None:
    torch.save(sealed(changed(content(), place, value)), tmp_path / "last.ckpt")
    with pytest.raises(PedsegError) as caught:
        finished_epochs(tmp_path / "last.ckpt")
    assert said in str(caught.value)
    assert "last.ckpt: " in str(caught.value)
    assert "train the run anew with overwrite=true" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("lr", float("nan")), ("lr", "0.1"), ("momentum", -1), ("momentum", None), ("nesterov", 1)]
)
def test_settings_of_an_optimiser(key: str, value: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    check_optimizers([optimizer], where=PLACE)
    optimizer.param_groups[0][key] = value
    with pytest.raises(PedsegError, match=rf"last\.ckpt: its optimiser's {key} is"):
        check_optimizers([optimizer], where=PLACE)


@pytest.mark.parametrize("moment", [torch.ones(3), torch.full((2,), torch.nan), "x", [1]])
def test_moments_of_an_optimiser(moment: Any) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    optimizer.state[weight]["momentum_buffer"] = moment
    with pytest.raises(PedsegError, match="momentum_buffer does not fit its weight"):
        check_optimizers([optimizer], where=PLACE)
