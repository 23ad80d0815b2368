"""From the objects of a run, built as for the training, to its plan."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from omegaconf import DictConfig
from torch import Tensor

from pedseg.assembly import calibration_target
from pedseg.assembly.machine import TRAINER_NAMES
from pedseg.callbacks import AdversaryHealth
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.selection import Selection
from pedseg.data.store import CohortStore
from pedseg.inference import Settings, settings_of_run
from pedseg.inference.checkpoint import read_checkpoint
from pedseg.inference.sliding_window import window_starts
from pedseg.modules import SegmentationModule
from pedseg.planning.memory import prediction_memory, step_memory
from pedseg.planning.plan import PASSES_OF_A_STEP, Plan, label_map_bytes, passes_of
from pedseg.planning.timing import MOST, VALIDATION_STEPS, WARM_UP, StepClock, measure, window_seconds
from pedseg.runs import RunFolder

PRECISIONS = {name: precision for precision, name in TRAINER_NAMES.items()}
MEMINFO = Path("/proc/meminfo")
Shapes = list[tuple[int, int, int]]


def make_plan(
    cfg: DictConfig,
    config: Mapping[str, Any],
    module: SegmentationModule,
    data: PatchDataModule,
    *,
    selection: Selection,
) -> Plan:
    """Run a few steps of a run, away from its folder, and say what the whole of it will take.

    Args:
        cfg: as composed.
        config: the same with what was decided for this machine.
        module: what would be trained; of no use for anything else afterwards.
        data: its batches.
        selection: its cases.
    """
    trainer_settings, patch_size = config["trainer"], config["data"]["patch_size"]
    folder = RunFolder(Path(config["run_dir"]))
    clock = StepClock()
    trainer = _trainer(cfg, config, clock)
    device = trainer.strategy.root_device
    settings = settings_of_run(config, device, as_begun=True)
    evaluated = _shapes(config, selection.evaluation)
    calibrated = _shapes(config, {cohort: selection.target_train[cohort] for cohort in calibration_target(config)})
    gpu = step_memory(
        module,
        patch_size=patch_size,
        batch_size=data.batch_size,
        two_sides=bool(data.target_cases or data.opposed_cases),
        precision=PRECISIONS[trainer_settings["precision"]],
        gpu=True,
        clip=trainer_settings["gradient_clip_val"],
    )
    largest = max([*evaluated, *calibrated], key=math.prod, default=tuple(patch_size))
    gpu_prediction = prediction_memory(
        module.network, shape=largest, window_batch=settings.window_batch, precision=settings.precision, gpu=True
    )
    free = free_memory(device)
    measured, window_s = None, 0.0
    if free is None or max(gpu.peak, gpu_prediction) < free:
        measured = measure(trainer, clock, module, data)
        window_s = window_seconds(module.network, device=device, windows=settings.windows, precision=settings.precision)
    return Plan(
        name=f"{config['run_name']}/fold_{config['run_fold']}",
        folder=str(folder.path),
        cases=_counts(config, selection),
        steps=trainer_settings["limit_train_batches"],
        validation_steps=trainer_settings["limit_val_batches"] if data.validation_cases else 0,
        epochs=trainer_settings["max_epochs"],
        done=int(read_checkpoint(folder.checkpoint)["epoch"]) + 1 if _continues(config, folder) else 0,
        batch=data.batch_size,
        patch=patch_size,
        precision=trainer_settings["precision"],
        machine=config["machine"],
        workers=data.num_workers,
        measured=measured,
        window_s=window_s,
        passes=_passes([*evaluated, *calibrated], patch_size, settings),
        gpu=gpu,
        gpu_prediction=gpu_prediction,
        free=free,
        checkpoint=_bytes(module.state_dict().values()) + gpu.optimizer,
        label_maps=sum(map(label_map_bytes, evaluated)),
        curves=len(trainer.callback_metrics),
    )


def _trainer(cfg: DictConfig, config: Mapping[str, Any], clock: StepClock) -> Trainer:
    """The Trainer of the run, as one process that keeps nothing."""
    trainer: Trainer = instantiate(
        cfg.trainer,
        precision=config["trainer"]["precision"],
        callbacks=[AdversaryHealth(), clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        strategy="auto",
        devices=1,
        num_nodes=1,
        sync_batchnorm=False,
        limit_train_batches=WARM_UP + MOST,
        limit_val_batches=min(VALIDATION_STEPS, config["trainer"]["limit_val_batches"]),
    )
    return trainer


def _counts(config: Mapping[str, Any], selection: Selection) -> dict[str, dict[str, int]]:
    """Cases by cohort, of what they are for."""
    adapted_to, calibrated_on = config["data"]["target"], calibration_target(config)
    target = selection.target_train
    parts: dict[str, Mapping[str, Sequence[str]]] = {
        "source, with labels": selection.source_train,
        "target, without": {cohort: target[cohort] for cohort in adapted_to},
        "validation": selection.source_validation,
        **(
            {"calibration, without labels": {cohort: target[cohort] for cohort in calibrated_on}}
            if calibrated_on
            else {}
        ),
        "evaluated": selection.evaluation,
    }
    return {purpose: {cohort: len(ids) for cohort, ids in cohorts.items()} for purpose, cohorts in parts.items()}


def _shapes(config: Mapping[str, Any], cohorts: Mapping[str, Sequence[str]]) -> Shapes:
    """Sizes (z, y, x) of the prepared images."""
    stores = {cohort: CohortStore(Path(config["data"]["store"]) / cohort) for cohort, ids in cohorts.items() if ids}
    return [stores[cohort].open(case_id).shape for cohort, ids in cohorts.items() for case_id in ids]


def _passes(shapes: Shapes, patch_size: Sequence[int], settings: Settings) -> int:
    """Forward passes of the predictions of images, the steps of a test-time adaptation with them."""
    windows = [
        len(window_starts([max(s, p) for s, p in zip(shape, patch_size, strict=True)], patch_size, step=settings.step))
        for shape in shapes
    ]
    adapting = PASSES_OF_A_STEP * settings.adapt_steps * len(shapes)
    mirrorings = 2**3 if settings.mirror else 1
    return passes_of(sum(windows), mirrorings=mirrorings, adapt_steps=settings.adapt_steps) + adapting


def _continues(config: Mapping[str, Any], folder: RunFolder) -> bool:
    return folder.checkpoint.exists() and not config["overwrite"]


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free where `device` computes; None if the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if not MEMINFO.exists():
        return None
    lines = MEMINFO.read_text(encoding="ascii").splitlines()
    available = next((line for line in lines if line.startswith("MemAvailable")), None)
    return int(available.split()[1]) * 1024 if available else None


def _bytes(tensors: Iterable[object]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors if isinstance(value, Tensor))
