"""Runs as a MONAI bundle that ``python -m monai.bundle run`` executes, with or without pedseg installed."""

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from pedseg.errors import PedsegError
from pedseg.files import check_free, temporary_of, write_json, write_text
from pedseg.inference import LoadedNetwork
from pedseg.interop.bundle.config import ENTRY, inference, metadata
from pedseg.interop.bundle.readme import RUN, readme
from pedseg.interop.bundle.sources import copy_sources, licence, requirements
from pedseg.interop.portable import load_portable
from pedseg.labels import CONVENTIONS, Region
from pedseg.ownership import foreign, listing, record

CONVENTION = "brats2023"  # written unless told otherwise, as by pedseg predict
METADATA = Path("configs", "metadata.json")


def export_bundle(
    checkpoints: Sequence[Path],
    output: Path,
    *,
    thresholds: Sequence[Sequence[float] | None] | None = None,
    overwrite: bool = False,
) -> str:
    """Write a MONAI bundle of one network, or of several whose logits are averaged.

    The folder holds ``configs/metadata.json`` and ``configs/inference.json``, state dicts in ``models``,
    ``docs/README.md``, ``LICENSE``, and in ``scripts`` a copy of the parts of pedseg that prediction needs. It appears
    whole or not at all.

    Args:
        checkpoints: of runs.
        output: folder to write.
        thresholds: of a variant of each run, in logits by region; the same for all.
        overwrite: replace it.

    Returns:
        The command that runs it.

    Raises:
        PedsegError: the output exists (or with `overwrite` is no bundle), a checkpoint cannot be used, the checkpoints
            differ in more than their weights, or an installed package lacks its metadata. Nothing is written then.
    """
    _check_output(output, overwrite=overwrite)
    members = _load_members(checkpoints, thresholds or [None] * len(checkpoints))
    with _atomic_folder(output) as folder:
        _write(folder, members)
        record(folder, (path for path in folder.rglob("*") if path.is_file()))
    return f"cd {shlex.quote(str(output))} && {RUN.format(cases='CASES', output='LABEL_MAPS')}"


def _check_output(output: Path, *, overwrite: bool) -> None:
    check_free(output, overwrite=overwrite)
    if output.exists() and not output.is_dir():
        raise PedsegError(f"{output} is no folder; give another --output")
    if left := foreign(output):
        raise PedsegError(
            f"{output}: {listing(left)} was not written by pedseg; move it away, or give another --output"
        )


def _load_members(checkpoints: Sequence[Path], thresholds: Sequence[Sequence[float] | None]) -> list[LoadedNetwork]:
    if not checkpoints:
        raise PedsegError("no checkpoint was given to export")
    members = [load_portable(path, thresholds=cut) for path, cut in zip(checkpoints, thresholds, strict=True)]
    shapes = [
        (one.network.settings, one.thresholds, one.patch_size, one.spacing_mm, one.mirror_axes) for one in members
    ]
    for checkpoint, shape in zip(checkpoints, shapes, strict=True):
        if shape != shapes[0]:
            raise PedsegError(
                f"{checkpoint} and {checkpoints[0]} differ in network, thresholds, patch, voxel size or mirroring; "
                "export each as a bundle of its own"
            )
    return members


def _write(folder: Path, members: Sequence[LoadedNetwork]) -> None:
    first = members[0]
    models = ["models/model.pt", *(f"models/model_{number}.pt" for number in range(2, len(members) + 1))]
    (folder / "models").mkdir()
    for name, member in zip(models, members, strict=True):
        torch.save(member.network.state_dict(), folder / name)
    needed = requirements(copy_sources(ENTRY, folder / "scripts"))
    written = {region: CONVENTIONS[CONVENTION].region_labels(region) for region in Region}
    versions = {name: version for name, (version, _) in needed.items()}
    write_json(folder / METADATA, metadata(members, regions_written=written, versions=versions))
    write_json(folder / "configs" / "inference.json", inference(first, models=models, convention=CONVENTION))
    packages = [bounds for _, bounds in needed.values()]
    write_text(folder / "docs" / "README.md", readme(first, models=models, convention=CONVENTION, packages=packages))
    write_text(folder / "LICENSE", licence())


@contextmanager
def _atomic_folder(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside `output` that takes its name, and its place, if the block succeeds."""
    output.parent.mkdir(parents=True, exist_ok=True)
    new, old = temporary_of(output), temporary_of(output)
    new.mkdir()
    try:
        yield new
        if output.exists():
            os.replace(output, old)  # noqa: PTH105  (as in pedseg.files)
        os.replace(new, output)  # noqa: PTH105
    except BaseException:
        if old.exists() and not output.exists():
            os.replace(old, output)  # noqa: PTH105
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
