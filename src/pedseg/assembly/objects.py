"""Selection, data, module and Trainer of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer

from pedseg.assembly.methods import build_methods
from pedseg.assembly.targets import build_optimizer, build_schedule
from pedseg.cases import Patients
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.selection import Part, Selection, select_cases
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.inference import load_network
from pedseg.losses import DiceBCELoss
from pedseg.modules import AdaptationModule, OpposedModule, SegmentationModule
from pedseg.networks import SegmentationNetwork, build
from pedseg.runs import required_checkpoint
from pedseg.settings.faults import near
from pedseg.settings.run import RunSettings
from pedseg.settings.training import Init

# Settings of a network that its weights do not depend on, or through its plan alone.
BESIDE_WEIGHTS = ("name", "patch_size", "spacing_mm", "base_features", "max_features")


def with_table_noted(settings: RunSettings) -> RunSettings:
    """The settings, with what tells whether the table of patients is still the one that the run began with.

    Raises:
        PedsegError: the table cannot be read.
    """
    digest = Patients.read(settings.folds.patients).digest
    return settings.model_copy(update={"folds": settings.folds.model_copy(update={"table_digest": digest})})


def select(
    settings: RunSettings, *, source: Mapping[str, Part] | None = None, target: Sequence[str] | None = None
) -> Selection:
    """Divide the prepared cohorts into what is trained on, watched and scored.

    Args:
        settings: of the run.
        source: labelled cohorts, in place of the run's own.
        target: cohorts without labels, in place of those that the run adapts to or is calibrated on.

    Raises:
        PedsegError: a cohort is unknown or not prepared, or cannot be what it is named for.
    """
    data = settings.data
    source = data.labelled_source if source is None else source
    unlabelled = sorted({*data.target, *settings.calibration_target} if target is None else target)
    cohorts = sorted({*source, *unlabelled, data.evaluation})
    for cohort in cohorts:
        if cohort not in data.cohorts:
            raise PedsegError(f"cohort {cohort!r} is not among data.cohorts; {near(cohort, data.cohorts)}")
    stores = {cohort: CohortStore(data.store / cohort) for cohort in cohorts}
    ids = {cohort: store.case_ids for cohort, store in stores.items()}
    known = {cohort: store.patients for cohort, store in stores.items()}
    folds = settings.folds
    patients = Patients.read(folds.patients)
    if folds.table_digest not in (None, patients.digest):
        raise PedsegError(
            f"folds.patients={folds.patients} says something else than when {settings.title} was begun, so its folds "
            "would be others; restore the table, or train the run again with overwrite=true"
        )
    return select_cases(
        ids,
        fold=settings.fold,
        source=source,
        target=dict.fromkeys(unlabelled, "fold"),
        evaluation=[data.evaluation],
        grouping=folds.grouping,
        split_files=dict.fromkeys(cohorts, Path(folds.file)) if folds.file else {},
        patients=patients.of(ids, known),
        few=data.few,
        draw=data.draw,
    )


def build_data(settings: RunSettings, selection: Selection, *, workers: int) -> PatchDataModule:
    """Make the training and validation batches, with so many loader processes."""
    data, trainer = settings.data, settings.trainer
    return PatchDataModule(
        store=data.store,
        source={cohort: ids for cohort, ids in selection.source_train.items() if cohort not in data.opposed},
        source_validation=selection.source_validation,
        target={cohort: selection.target_train[cohort] for cohort in data.target},
        opposed={cohort: selection.source_train[cohort] for cohort in data.opposed},
        patch_size=data.patch_size,
        batch_size=data.batch_size,
        steps_per_epoch=trainer.limit_train_batches,
        validation_steps=trainer.limit_val_batches,
        seed=settings.seed,
        augmentation=data.augmentation,
        foreground_fraction=data.foreground_fraction,
        drop_modality=data.drop_modality,
        num_workers=workers,
    )


def build_module(settings: RunSettings, *, spacing_mm: tuple[float, float, float]) -> SegmentationModule:
    """Build the network for images of `spacing_mm` and what trains it, and give it the weights it starts from."""
    network = build(settings.model.as_json(), patch_size=settings.data.patch_size, spacing_mm=spacing_mm)
    _initialise(network, settings.init)
    training: dict[str, Any] = {
        "network": network,
        "optimizer": build_optimizer(settings.optimizer),
        "lr_schedule": build_schedule(settings.lr_schedule),
        "loss": DiceBCELoss(bce_weight=settings.loss.bce_weight, dice_weight=settings.loss.dice_weight),
        "trainable_parts": settings.trained_parts,
        "channels_last": settings.channels_last,
    }
    methods = build_methods(settings.adaptation.root)
    opposed = list(settings.data.opposed)
    if opposed and not methods:
        raise PedsegError(f"data.opposed={opposed} is for a method that tells the sides apart: adaptation=dann")
    if not methods:
        return SegmentationModule(**training)
    if opposed:
        return OpposedModule(methods=methods, seed=settings.seed, **training)
    if not settings.data.target:
        needing = [name for name, method in methods.items() if method.needs_target]
        if needing:
            raise PedsegError(f"adaptation={needing[0]} needs an unlabelled cohort: data.target=[ped]")
    return AdaptationModule(methods=methods, seed=settings.seed, **training)


def _initialise(network: SegmentationNetwork, init: Init) -> None:
    """Copy the named parts of another run's network; heads for deep supervision that this one lacks stay behind."""
    if init.run is None:
        return

    checkpoint = required_checkpoint(init.run, command=init.command)
    loaded = load_network(checkpoint).network
    if network.name != loaded.name:
        raise PedsegError(
            f"{checkpoint}: holds a {loaded.name}, this run trains a {network.name}; choose the model that it was "
            "trained with (model=...)"
        )
    if network.topology != loaded.topology:
        raise PedsegError(f"{checkpoint}: its network is of another plan; give {_overrides(loaded, network)}")
    loaded.seg_layers = loaded.seg_layers[: len(network.seg_layers)]
    for part in init.parts:
        try:
            network.get_submodule(part).load_state_dict(loaded.get_submodule(part).state_dict())
        except RuntimeError as error:
            raise PedsegError(
                f"{checkpoint}: its {part} does not fit this network; give {_overrides(loaded, network)}\n{error}"
            ) from error


def _overrides(wanted: SegmentationNetwork, network: SegmentationNetwork) -> str:
    """Overrides of the command line that give a network the settings of another."""
    settings, own = wanted.settings, network.settings
    plan = wanted.plan if wanted.topology != network.topology else {}
    left_out = {*BESIDE_WEIGHTS, *wanted.plan}
    changed = [f"model.{key}={settings[key]}" for key in settings if key not in left_out and settings[key] != own[key]]
    changed += [f"++model.{key}={value}" for key, value in plan.items()]
    return " ".join(f"'{text.replace(' ', '')}'" for text in changed) or "the same model settings"


def build_trainer(settings: RunSettings, *, callbacks: Sequence[Callback], checkpoints: bool = True) -> Trainer:
    """Make the Trainer, without loggers; time limits are left to a callback, since the Trainer's own outlive a call.

    Raises:
        PedsegError: it refuses its settings, on this machine.
    """
    arguments = settings.trainer.model_dump(exclude={"max_time"})
    arguments["max_steps"] = -1 if arguments["max_steps"] is None else arguments["max_steps"]  # no limit
    if isinstance(arguments["devices"], tuple):
        arguments["devices"] = list(arguments["devices"])
    try:
        return Trainer(
            **arguments,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=checkpoints,
            default_root_dir=settings.run_dir,
            use_distributed_sampler=False,  # the sampler knows rank and world size itself
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise PedsegError(f"trainer: {error}") from error
