"""Networks that nnU-Net v2, or the released code of Fu et al. 2024 on top of it, has trained, as runs of pedseg."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.files import read_json, safe_name, sha256
from pedseg.inference.checkpoint import plain_tensors
from pedseg.interop.nnunet.checkpoint import read_foreign_checkpoint
from pedseg.interop.nnunet.dataset import channel_order, region_order
from pedseg.interop.nnunet.network import Networks, build_networks
from pedseg.interop.nnunet.plans import FULL_RESOLUTION, Plan, read_plan
from pedseg.interop.nnunet.records import InitArguments, TrainedState
from pedseg.interop.nnunet.run_folder import ImportedRun
from pedseg.labels import Modality, Region
from pedseg.locks import writing_all
from pedseg.networks.topology import AXES
from pedseg.runs import RunFolder
from pedseg.settings.stored import ORIGIN, ImportedSettings

log = logging.getLogger(__name__)

PLANS, DATASET = "plans.json", "dataset.json"
FOLD = re.compile(r"fold_(\d+|all)")


def import_networks(
    sources: Sequence[Path], output: Path, *, plans: Path | None, checkpoint: str, trust: bool, overwrite: bool
) -> list[Path]:
    """Make a run ``<output>/fold_<k>`` of every checkpoint; each predicts what nnU-Net would.

    Nothing is written before every checkpoint has been read and understood.

    Args:
        sources: result folders (plans.json, dataset.json, ``fold_*``), folders of one fold, or checkpoints.
        output: folder of the runs.
        plans: plans.json to read, with the dataset.json beside it if there is one; by default those beside the
            checkpoint or in the folder above, then what the checkpoint itself has.
        checkpoint: name of the file in the folder of a fold.
        trust: open checkpoints that hold more than tensors, numbers and plain Python, which may run their code.
        overwrite: replace runs that were imported before from elsewhere.

    Returns:
        The run folders.

    Raises:
        PedsegError: there is no checkpoint; one cannot be read, or is of a network that pedseg cannot compute exactly;
            two are of one fold; or a folder holds something else.
    """
    paths = [path for source in sources for path in _checkpoints(source, checkpoint)]
    runs = [_read(path, output, plans=plans, trust=trust) for path in paths]
    twice = [path for path, count in Counter(run.folder.path for run in runs).items() if count > 1]
    if twice:
        raise PedsegError(
            f"{twice[0].name} is given twice; import one result folder at a time, or put each checkpoint into a folder "
            "fold_0, fold_1 …"
        )
    with writing_all(run.folder.path for run in runs):
        for run in runs:
            run.check_room(overwrite=overwrite)
        for run in runs:
            run.write()
            _warn(run)
    return [run.folder.path for run in runs]


def _checkpoints(source: Path, name: str) -> list[Path]:
    if source.is_file():
        return [source]
    found = [path for path in (source / name, *sorted(source.glob(f"fold_*/{name}"))) if path.is_file()]
    if not found:
        others = sorted({path.name for pattern in ("*.pth", "fold_*/*.pth") for path in source.glob(pattern)})
        hint = f"; there is --checkpoint {', '.join(others)}" if others else "; give nnU-Net's folder of fold_*"
        raise PedsegError(f"{source}: has no {name} and no fold_*/{name}{hint}")
    return found


def _read(path: Path, output: Path, *, plans: Path | None, trust: bool) -> ImportedRun:
    """Read a checkpoint and what belongs to it."""
    content = read_foreign_checkpoint(path, trust=trust)
    weights = content.get("network_weights")
    if not isinstance(weights, Mapping):
        raise PedsegError(f"{path}: has no network_weights, so it is no checkpoint of nnU-Net v2; give one")
    state = TrainedState.of(content, where=path, fix="download or copy it again")
    arguments = state.init_args or InitArguments()
    texts = _find_texts(path, arguments, plans)
    plan = read_plan(texts.plans, arguments.configuration or FULL_RESOLUTION, where=texts.plans_from)
    channels = channel_order(texts.dataset, where=texts.dataset_from)
    regions = region_order(texts.dataset, where=texts.dataset_from)
    try:
        networks = build_networks(plain_tensors(weights), plan, channels=channels, regions=regions)
    except (PedsegError, IndexError, RuntimeError, ValueError) as error:  # of weights of any shape
        raise PedsegError(f"{path} (with {texts.plans_from}): {error}; give a checkpoint and its plans") from error
    named = FOLD.fullmatch(path.resolve().parent.name)
    fold = named.group(1) if named else str(arguments.fold)
    mirror_axes = _mirror_axes(state, plan)
    stated = {
        "pedseg": __version__,
        "source": str(path.resolve()),
        "sha256": sha256(path),
        "plans": texts.plans_from,
        "dataset_json": texts.dataset_from,
        "dataset": plan.dataset,
        "configuration": plan.configuration,
        "trainer": state.trainer_name,
        "epoch": state.current_epoch,
        "channels": dict(zip(map(str, Modality), channels, strict=True)),
        "regions": dict(zip(map(str, Region), regions, strict=True)),
        "axes": dict(zip(AXES, plan.axis_order, strict=True)),
        "mirror_axes": [AXES[axis] for axis in mirror_axes],
        "domain_classifier": networks.classifier is not None,
        "weights_left_out": len(networks.left_out),
    }
    return ImportedRun(
        RunFolder(output / safe_name(f"fold_{fold}")),
        networks,
        mirror_axes,
        _settings(stated, networks, name=output.name, fold=fold),
    )


def _settings(stated: Mapping[str, Any], networks: Networks, *, name: str, fold: str) -> ImportedSettings:
    """What `report` and `train` look at has the form that it has in a trained run."""
    part = "all" if fold == "all" else "fold"
    return ImportedSettings.of(
        {
            ORIGIN: dict(stated),
            "run_name": name,
            "run_fold": fold,
            "model": networks.network.settings,
            "data": {"source": {stated["dataset"] or "unknown": part}, "target": []},
        }
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    """Plans and dataset description of a checkpoint, and the name of where each is from."""

    plans: Mapping[str, Any]
    plans_from: str
    dataset: Mapping[str, Any]
    dataset_from: str


def _find_texts(path: Path, arguments: InitArguments, plans: Path | None) -> _Texts:
    folders = [plans.parent] if plans else []
    folders += [path.parent, *([path.resolve().parent.parent] if FOLD.fullmatch(path.resolve().parent.name) else [])]
    found = []
    for name, key, given in ((PLANS, "plans", plans), (DATASET, "dataset_json", None)):
        file = given or next((folder / name for folder in folders if (folder / name).is_file()), None)
        content = read_json(file) if file else getattr(arguments, key)
        where = str(file.resolve()) if file else f"{path} ({key})"
        if content is None:
            raise PedsegError(
                f"{path}: has no {name} beside it and none in it; give --plans FILE, and {DATASET} beside it"
            )
        if not isinstance(content, Mapping):
            raise PedsegError(f"{where}: is no {name} of nnU-Net; give the one it wrote")
        found.append((content, where))
    (first, first_from), (second, second_from) = found
    return _Texts(first, first_from, second, second_from)


def _mirror_axes(state: TrainedState, plan: Plan) -> tuple[int, ...]:
    """Axes (z, y, x) that nnU-Net's predictor mirrors; a checkpoint that says None has it mirror none."""
    allowed = state.inference_allowed_mirroring_axes or ()
    return tuple(axis for axis in range(len(AXES)) if plan.axis_order[axis] in allowed)


def _warn(run: ImportedRun) -> None:
    if run.networks.left_out:
        log.warning(
            "%s: left out %d weights of a domain classifier of another form than the released one; segmentation does "
            "not need them",
            run.folder.path,
            len(run.networks.left_out),
        )
    if len(run.mirror_axes) < len(AXES):
        axes = ", ".join(AXES[axis] for axis in run.mirror_axes) or "no axis"
        log.warning("%s: predictions are averaged over mirrorings of %s only, as it was trained", run.folder.path, axes)
