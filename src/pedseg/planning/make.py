"""From the objects of a run, built as for the training, to its plan."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from pedseg.assembly import build_trainer
from pedseg.assembly.machine import TRAINER_NAMES
from pedseg.callbacks import AdversaryHealth
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.selection import Selection
from pedseg.data.store import CohortStore
from pedseg.inference import Settings, settings_of_run
from pedseg.inference.continuing import finished_epochs
from pedseg.inference.sliding_window import window_starts
from pedseg.modules import SegmentationModule
from pedseg.planning.memory import prediction_memory, step_memory
from pedseg.planning.plan import PASSES_OF_A_STEP, Plan, label_map_bytes, passes_of
from pedseg.planning.timing import MOST, VALIDATION_STEPS, WARM_UP, StepClock, measure, window_seconds
from pedseg.runs import RunFolder
from pedseg.settings.following import Machine
from pedseg.settings.run import RunSettings
from pedseg.settings.variants import Variant

PRECISIONS = {name: precision for precision, name in TRAINER_NAMES.items()}
MEMINFO = Path("/proc/meminfo")
Shapes = list[tuple[int, int, int]]


def make_plan(
    run: RunSettings,
    machine: Machine,
    module: SegmentationModule,
    data: PatchDataModule,
    *,
    selection: Selection,
) -> Plan:
    """Run a few steps of a run, away from its folder, and say what the whole of it will take.

    Args:
        run: its settings.
        machine: what was decided for this one.
        module: what would be trained; of no use for anything else afterwards.
        data: its batches.
        selection: its cases.
    """
    patch_size, store = run.data.patch_size, run.data.store
    folder = RunFolder(run.run_dir)
    clock = StepClock()
    trainer = _trainer(run, clock)
    device = trainer.strategy.root_device
    settings = settings_of_run(run, Variant(), device, as_begun=True)
    evaluated = _shapes(store, selection.evaluation)
    calibrated = _shapes(store, {cohort: selection.target_train[cohort] for cohort in run.calibration_target})
    gpu = step_memory(
        module,
        patch_size=patch_size,
        batch_size=data.batch_size,
        two_sides=bool(data.target_cases or data.opposed_cases),
        precision=PRECISIONS[run.trainer.precision],
        gpu=True,
        clip=run.trainer.gradient_clip_val,
        ignored=data.ignored,
    )
    largest = max([*evaluated, *calibrated], key=math.prod, default=patch_size)
    gpu_prediction = prediction_memory(
        module.network, shape=largest, window_batch=settings.window_batch, precision=settings.precision, gpu=True
    )
    free = free_memory(device)
    measured, window_s = None, 0.0
    if free is None or max(gpu.peak, gpu_prediction) < free:
        measured = measure(trainer, clock, module, data)
        window_s = window_seconds(module.network, device=device, windows=settings.windows, precision=settings.precision)
    return Plan(
        name=run.title,
        folder=str(folder.path),
        cases=_counts(run, selection),
        steps=run.trainer.limit_train_batches,
        validation_steps=run.trainer.limit_val_batches if data.validation_cases else 0,
        epochs=run.trainer.max_epochs,
        done=finished_epochs(folder.checkpoint) if _continues(run, folder) else 0,
        batch=data.batch_size,
        patch=patch_size,
        precision=run.trainer.precision,
        machine=machine,
        workers=data.num_workers,
        measured=measured,
        window_s=window_s,
        passes=_passes_of_variants(run, selection, evaluated, device),
        gpu=gpu,
        gpu_prediction=gpu_prediction,
        free=free,
        checkpoint=_bytes(module.state_dict().values()) + gpu.optimizer,
        label_maps=len(run.variant) * sum(map(label_map_bytes, evaluated)),
        curves=len(trainer.callback_metrics),
    )


def _trainer(run: RunSettings, clock: StepClock) -> Trainer:
    """The Trainer of the run, as one process that keeps nothing."""
    changed = {
        "enable_progress_bar": False,
        "strategy": "auto",
        "devices": 1,
        "num_nodes": 1,
        "sync_batchnorm": False,
        "limit_train_batches": WARM_UP + MOST,
        "limit_val_batches": min(VALIDATION_STEPS, run.trainer.limit_val_batches),
        "check_val_every_n_epoch": 1,
        "max_steps": None,
        "fast_dev_run": 0,
    }
    alone = run.model_copy(update={"trainer": run.trainer.model_copy(update=changed)})
    return build_trainer(alone, callbacks=[AdversaryHealth(), clock], checkpoints=False)


def _counts(run: RunSettings, selection: Selection) -> dict[str, dict[str, int]]:
    """Cases by cohort, of what they are for."""
    adapted_to, calibrated_on = run.data.target, run.calibration_target
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


def _shapes(store: Path, cohorts: Mapping[str, Sequence[str]]) -> Shapes:
    """Sizes (z, y, x) of the prepared images."""
    stores = {cohort: CohortStore(store / cohort) for cohort, ids in cohorts.items() if ids}
    return [stores[cohort].open(case_id).shape for cohort, ids in cohorts.items() for case_id in ids]


def _passes_of_variants(run: RunSettings, selection: Selection, evaluated: Shapes, device: torch.device) -> int:
    """Forward passes of every variant that is a prediction, and of its calibration."""
    total = 0
    for variant in (one for one in run.variant.values() if not one.rules):
        cohorts = variant.calibration_target(run.data.target)
        calibrated = _shapes(run.data.store, {cohort: selection.target_train[cohort] for cohort in cohorts})
        source = _shapes(run.data.store, selection.source_validation) if variant.needs_source else []
        how = settings_of_run(run, variant, device, as_begun=True)
        total += _passes([*evaluated, *calibrated, *source], run.data.patch_size, how)
    return total


def _passes(shapes: Shapes, patch_size: Sequence[int], settings: Settings) -> int:
    """Forward passes of the predictions of images, the steps of a test-time adaptation with them."""
    windows = [
        len(window_starts([max(s, p) for s, p in zip(shape, patch_size, strict=True)], patch_size, step=settings.step))
        for shape in shapes
    ]
    adapting = PASSES_OF_A_STEP * settings.adapt_steps * len(shapes)
    mirrorings = 2**3 if settings.mirror else 1
    return passes_of(sum(windows), mirrorings=mirrorings, adapt_steps=settings.adapt_steps) + adapting


def _continues(run: RunSettings, folder: RunFolder) -> bool:
    return folder.checkpoint.exists() and not run.overwrite


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
