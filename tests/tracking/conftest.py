"""A run that tells W&B all it may."""

import subprocess
from pathlib import Path

import pytest

from pedseg.runs import RunFolder
from tests.training import spawn


@pytest.fixture(scope="package")
def shown(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose owner shows patient data and keeps the checkpoint, trained in a process of somebody's own."""
    runs = tmp_path_factory.mktemp("runs of somebody")
    more = (
        "logger=wandb",
        "logger.offline=true",
        "callbacks.images=true",
        "callbacks.validators=true",
        "logger.artifact=true",
        "logger.tags=[first try]",
    )
    command = spawn(toy_world, runs, "experiment=uda", "seed=3", *more, "logger.notes=Two words.")
    subprocess.run(command, check=True, capture_output=True)
    return RunFolder(runs / "uda" / "seed=3" / "fold_0")
