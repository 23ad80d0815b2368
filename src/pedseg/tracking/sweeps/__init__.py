"""Sweeps of W&B, as ``wandb sweep`` reads them."""

from pathlib import Path

from pedseg.errors import PedsegError

FOLDER = Path(__file__).parent


def sweep_names() -> list[str]:
    """The sweeps that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def sweep_file(name: str) -> Path:
    """File of a sweep.

    Raises:
        PedsegError: there is none of that name.
    """
    if name not in sweep_names():
        raise PedsegError(f"--sweep {name}: there is {', '.join(sweep_names())}")
    return FOLDER / f"{name}.yaml"
