"""Selection, data, module and loggers of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig

from pedseg.assembly.calibration import calibration_target
from pedseg.assembly.methods import build_methods
from pedseg.callbacks import MetricsCsv
from pedseg.callbacks.tracking import tensorboard_logger, wandb_logger
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.selection import Selection, select_cases
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.inference import load_network
from pedseg.losses import DiceBCELoss
from pedseg.modules import AdaptationModule, OpposedModule, SegmentationModule
from pedseg.networks import SegmentationNetwork, build
from pedseg.runs import RunFolder, required_checkpoint

# Settings of a network that its weights do not depend on, or through its plan alone.
BESIDE_WEIGHTS = ("name", "patch_size", "spacing_mm", "thresholds", "base_features", "max_features")


def select(config: Mapping[str, Any]) -> Selection:
    """Divide the prepared cohorts into what is trained on, watched and scored."""
    data, fold = config["data"], config["fold"]
    source = {cohort: part for cohort, part in data["source"].items() if part}
    target = {*data["target"], *calibration_target(config)}
    cohorts = {*source, *target, data["evaluation"]}
    for cohort in sorted(cohorts - set(data["cohorts"])):
        raise PedsegError(f"cohort {cohort!r} is not among data.cohorts ({', '.join(data['cohorts'])})")
    if fold != "all" and not isinstance(fold, int):
        raise PedsegError(f"fold={fold} is no fold; give a number or all")
    grouping = config["folds"]
    made = grouping in ("patient", "published")
    return select_cases(
        {cohort: CohortStore(Path(data["store"]) / cohort).case_ids for cohort in sorted(cohorts)},
        fold=fold,
        source=source,
        target=dict.fromkeys(sorted(target), "fold"),
        evaluation=[data["evaluation"]],
        grouping=grouping if made else "patient",
        split_files={} if made else dict.fromkeys(sorted(cohorts), Path(grouping)),
    )


def build_data(config: Mapping[str, Any], selection: Selection) -> PatchDataModule:
    """Make the training and validation batches."""
    data, trainer = config["data"], config["trainer"]
    opposed = _opposed(data)
    return PatchDataModule(
        store=Path(data["store"]),
        source={cohort: ids for cohort, ids in selection.source_train.items() if cohort not in opposed},
        source_validation=selection.source_validation,
        target={cohort: selection.target_train[cohort] for cohort in data["target"]},
        opposed={cohort: selection.source_train[cohort] for cohort in opposed},
        patch_size=data["patch_size"],
        batch_size=data["batch_size"],
        steps_per_epoch=trainer["limit_train_batches"],
        validation_steps=trainer["limit_val_batches"],
        seed=config["seed"],
        augmentation=data["augmentation"],
        foreground_fraction=data["foreground_fraction"],
        num_workers=data["num_workers"],
    )


def _opposed(data: Mapping[str, Any]) -> list[str]:
    """Labelled cohorts that fill the second side of a batch: a setting of supervised controls alone."""
    opposed = list(data.get("opposed") or [])
    for cohort in opposed:
        if not data["source"].get(cohort):
            raise PedsegError(
                f"data.opposed: {cohort!r} is no labelled cohort of the run; give data.source.{cohort}=fold"
            )
    return opposed


def build_module(
    cfg: DictConfig, config: Mapping[str, Any], *, spacing_mm: tuple[float, float, float]
) -> SegmentationModule:
    """Build the network for images of `spacing_mm` and what trains it, and give it the weights it starts from."""
    network = build(config["model"], patch_size=config["data"]["patch_size"], spacing_mm=spacing_mm)
    _initialise(network, config["init"])
    training: dict[str, Any] = {
        "network": network,
        "optimizer": instantiate(cfg.optimizer),
        "lr_schedule": instantiate(cfg.lr_schedule),
        "loss": DiceBCELoss(**config["loss"]),
        "trainable_parts": config["trained_parts"],
        "channels_last": config["channels_last"],
    }
    methods = build_methods(config.get("adaptation") or {})
    opposed = _opposed(config["data"])
    if opposed and not methods:
        raise PedsegError(f"data.opposed={opposed} is for a method that tells the sides apart: adaptation=dann")
    if not methods:
        return SegmentationModule(**training)
    if opposed:
        return OpposedModule(methods=methods, seed=config["seed"], **training)
    if not config["data"]["target"]:
        needing = [name for name, method in methods.items() if method.needs_target]
        if needing:
            raise PedsegError(f"adaptation={needing[0]} needs an unlabelled cohort: data.target=[ped]")
    return AdaptationModule(methods=methods, seed=config["seed"], **training)


def _initialise(network: SegmentationNetwork, init: Mapping[str, Any]) -> None:
    """Copy the named parts of another run's network; heads for deep supervision that this one lacks stay behind."""
    if init["run"] is None:
        return

    checkpoint = required_checkpoint(Path(init["run"]), command=init["command"])
    loaded = load_network(checkpoint).network
    if network.name != loaded.name:
        raise PedsegError(
            f"{checkpoint}: holds a {loaded.name}, this run trains a {network.name}; choose the model that it was "
            "trained with (model=...)"
        )
    if network.topology != loaded.topology:
        raise PedsegError(f"{checkpoint}: its network is of another plan; give {_overrides(loaded, network)}")
    loaded.seg_layers = loaded.seg_layers[: len(network.seg_layers)]
    for part in init["parts"]:
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


def build_loggers(config: Mapping[str, Any], folder: RunFolder, *, first_epoch: int) -> list[Logger]:
    """metrics.csv, and what logger= names beside it."""
    loggers: list[Logger] = [MetricsCsv(folder.metrics, first_epoch=first_epoch)]
    settings = config["logger"]
    if settings["kind"] == "wandb":
        loggers.append(
            wandb_logger(
                folder.path,
                config=config,
                group=config["run_name"],
                job_type=f"fold_{config['run_fold']}",
                project=settings["project"],
                entity=settings["entity"],
                offline=settings["offline"],
            )
        )
    elif settings["kind"] == "tensorboard":
        loggers.append(tensorboard_logger(folder.path))
    return loggers
