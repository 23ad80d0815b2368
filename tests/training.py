"""The training command on the toy cohorts, and what it leaves."""

import csv
import sys
from pathlib import Path

import torch

from pedseg.commands import train as entry
from pedseg.runs import RunFolder


def arguments(world: Path, runs: Path, *overrides: str) -> list[str]:
    """Command line of a toy run on the cohorts in `world`."""
    paths = {"adult": world / "adult", "ped": world / "ped", "store": world / "store", "runs": runs}
    flags = [word for word in overrides if word.startswith("-")]
    settings = [word for word in overrides if not word.startswith("-")]
    return [*flags, "scale=toy", *(f"paths.{name}={path}" for name, path in paths.items()), *settings]


def train(world: Path, runs: Path, *overrides: str) -> int:
    """Run the command in this process."""
    return entry.main([*arguments(world, runs, *overrides), "trainer.enable_progress_bar=false"])


def spawn(world: Path, runs: Path, *overrides: str) -> list[str]:
    """The same as a command of its own."""
    return [sys.executable, "-m", "pedseg", "train", *arguments(world, runs, *overrides)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All that is in the state dict of a run's last checkpoint."""
    state: dict[str, torch.Tensor] = torch.load(RunFolder(folder).checkpoint, weights_only=True)["state_dict"]
    return state


def assert_same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Names and values of two state dicts."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0, equal_nan=True, msg=name)


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
