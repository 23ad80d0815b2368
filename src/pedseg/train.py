"""Train a model, predict the held-out cases and score them: ``python -m pedseg.train experiment=uda fold=0``."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.configuration import run_hydra
from pedseg.errors import PedsegError
from pedseg.runs import RunFolder, required_checkpoint

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from lightning.pytorch import LightningDataModule, Trainer
    from lightning.pytorch.loggers.logger import Logger
    from omegaconf import DictConfig

    from pedseg.cases import Case
    from pedseg.data.datamodule import PatchDataModule
    from pedseg.data.selection import Selection
    from pedseg.labels import LabelConvention
    from pedseg.modules import SegmentationModule

log = logging.getLogger(__name__)


def train(cfg: "DictConfig") -> None:
    """Run one experiment on one fold, or continue it, in its run folder.

    Raises:
        PedsegError: settings, prepared cohorts or the run folder are at fault; nothing has been trained then.
    """
    from lightning.pytorch import seed_everything
    from omegaconf import OmegaConf

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    folder = RunFolder(Path(config["run_dir"]))
    if folder.finished.exists() and not config["overwrite"]:
        folder.begin(config, overwrite=False)
        log.info("%s is finished; overwrite=true trains it again", folder.path)
        return
    selection = select(config)
    seed_everything(config["seed"], workers=True, verbose=False)
    data = build_data(config, selection)
    module = build_module(cfg, config, spacing_mm=data.spacing_mm)
    if _is_first_process():
        folder.begin(config, overwrite=config["overwrite"])
        log.info("%s: %s", folder.path, _describe(selection))
    fit(cfg, config, folder, module, data)
    finish(config, folder, selection, module)


def select(config: Mapping[str, Any]) -> "Selection":
    """Divide the prepared cohorts into what is trained on, watched and scored."""
    from pedseg.data.selection import select_cases
    from pedseg.data.store import CohortStore

    data, fold = config["data"], config["fold"]
    source = {cohort: part for cohort, part in data["source"].items() if part}
    cohorts = {*source, *data["target"], data["evaluation"]}
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
        target=dict.fromkeys(data["target"], "fold"),
        evaluation=[data["evaluation"]],
        grouping=grouping if made else "patient",
        split_files={} if made else dict.fromkeys(sorted(cohorts), Path(grouping)),
    )


def build_data(config: Mapping[str, Any], selection: "Selection") -> "PatchDataModule":
    """Make the training and validation batches."""
    from pedseg.data.datamodule import PatchDataModule

    data, trainer = config["data"], config["trainer"]
    workers = data["num_workers"]
    return PatchDataModule(
        store=Path(data["store"]),
        source=selection.source_train,
        source_validation=selection.source_validation,
        target=selection.target_train,
        patch_size=data["patch_size"],
        batch_size=data["batch_size"],
        steps_per_epoch=trainer["limit_train_batches"],
        validation_steps=trainer["limit_val_batches"],
        seed=config["seed"],
        augmentation=data["augmentation"],
        foreground_fraction=data["foreground_fraction"],
        num_workers=max(1, min(12, (os.cpu_count() or 2) - 1)) if workers == "auto" else workers,
    )


def build_module(
    cfg: "DictConfig", config: Mapping[str, Any], *, spacing_mm: tuple[float, float, float]
) -> "SegmentationModule":
    """Build the network for images of `spacing_mm` and what trains it, and give it the weights it starts from."""
    from functools import partial

    from hydra.utils import instantiate

    from pedseg.losses import DiceBCELoss
    from pedseg.modules import AdaptationModule, SegmentationModule
    from pedseg.networks import DomainClassifier, UNet
    from pedseg.schedules import linear_ramp

    network = UNet(**config["model"], patch_size=config["data"]["patch_size"], spacing_mm=spacing_mm)
    _initialise(network, config["init"])
    optimizer, lr_schedule, loss = (
        instantiate(cfg.optimizer),
        instantiate(cfg.lr_schedule),
        DiceBCELoss(**config["loss"]),
    )
    parts, channels_last = config["trained_parts"], config["channels_last"]
    adaptation = config["adaptation"]
    if adaptation["method"] == "none":
        return SegmentationModule(
            network=network,
            optimizer=optimizer,
            lr_schedule=lr_schedule,
            loss=loss,
            trainable_parts=parts,
            channels_last=channels_last,
        )
    if not config["data"]["target"]:
        raise PedsegError("adaptation needs an unlabelled cohort: data.target=[ped]")
    stages = network.decoder_shapes
    stage = adaptation["decoder_stage"]
    stage = stage if stage > 0 else len(stages) + 1 + stage
    if not 1 <= stage <= len(stages):
        raise PedsegError(f"adaptation.decoder_stage={adaptation['decoder_stage']}: this network has {len(stages)}")
    channels, size = stages[stage - 1]
    ramp = {"start": adaptation["alpha_start"], "end": adaptation["alpha_end"], "maximum": adaptation["alpha_max"]}
    return AdaptationModule(
        network=network,
        classifier=DomainClassifier(in_channels=channels, input_size=size, **adaptation["classifier"]),
        alpha_schedule=partial(linear_ramp, **ramp),
        decoder_stage=stage,
        lambda_domain=adaptation["lambda_domain"],
        optimizer=optimizer,
        lr_schedule=lr_schedule,
        loss=loss,
        trainable_parts=parts,
        channels_last=channels_last,
    )


def _initialise(network: Any, init: Mapping[str, Any]) -> None:  # noqa: ANN401  (a UNet, imported late)
    """Copy the named parts of another run's network."""
    if init["run"] is None:
        return
    from pedseg.inference import load_network

    checkpoint = required_checkpoint(Path(init["run"]), command=init["command"])
    loaded = load_network(checkpoint).network
    for part in init["parts"]:
        try:
            network.get_submodule(part).load_state_dict(loaded.get_submodule(part).state_dict())
        except RuntimeError as error:
            raise PedsegError(
                f"{checkpoint}: its {part} does not fit this network, use the same model settings\n{error}"
            ) from error


def fit(
    cfg: "DictConfig",
    config: Mapping[str, Any],
    folder: RunFolder,
    module: "SegmentationModule",
    data: "LightningDataModule",
) -> None:
    """Train to the last epoch, from the last checkpoint if there is one."""
    import torch
    from hydra.utils import instantiate

    from pedseg.callbacks import EpochLine, LastCheckpoint, SourceSlices, StepTimer

    resumed = folder.checkpoint if folder.checkpoint.exists() else None
    first_epoch = 0
    if resumed:
        first_epoch = int(torch.load(resumed, map_location="cpu", weights_only=True)["epoch"]) + 1
        log.info("continuing at epoch %d from %s", first_epoch + 1, resumed)
    callbacks = [
        StepTimer(),
        LastCheckpoint(folder, every_n_epochs=config["callbacks"]["checkpoint_every"]),
        EpochLine(),
    ]
    if config["callbacks"]["images"]:
        callbacks.append(SourceSlices())
    loggers = build_loggers(config, folder, first_epoch=first_epoch)
    trainer: Trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    failed = True
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        failed = False
    finally:
        close_loggers(loggers, failed=failed)


def build_loggers(config: Mapping[str, Any], folder: RunFolder, *, first_epoch: int) -> list["Logger"]:
    """metrics.csv, and what logger= names beside it."""
    from pedseg.callbacks import MetricsCsv
    from pedseg.callbacks.tracking import tensorboard_logger, wandb_logger

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


def close_loggers(loggers: Sequence["Logger"], *, failed: bool) -> None:
    """Finish the W&B run of this job, so that the next job of a sweep gets one of its own."""
    from pedseg.callbacks.tracking import finish_wandb

    for logger in loggers:
        logger.finalize("failed" if failed else "success")
    finish_wandb(loggers, failed=failed)


def finish(config: Mapping[str, Any], folder: RunFolder, selection: "Selection", module: "SegmentationModule") -> None:
    """Predict and score the held-out cases, then mark the run as finished (rank 0 scores; every rank predicts)."""
    from pedseg.analysis.scoring import score_cases
    from pedseg.files import write_json
    from pedseg.inference import Predictor, Settings, predict_cases

    trainer = module.trainer
    cohort = config["data"]["evaluation"]
    wanted = selection.evaluation.get(cohort, ())
    cases, convention = _evaluation_cases(config["data"]["cohorts"][cohort], cohort, wanted)
    if cases:
        predictor = Predictor(
            [folder.checkpoint], device=trainer.strategy.root_device, settings=Settings(**config["prediction"])
        )
        problems = predict_cases(
            predictor, cases[trainer.global_rank :: trainer.world_size], folder.predictions, convention=convention
        )
        trainer.strategy.barrier("predicted")
        if problems:
            raise PedsegError(f"{len(problems)} cases could not be predicted: {problems[0]}")
    if not trainer.is_global_zero:
        return
    labelled = [case for case in cases if case.label]
    if labelled:
        score_cases(folder.predictions, labelled, output=folder.scores, convention=convention)
        log.info("scores of %d cases: %s", len(labelled), folder.scores)
    elif cases:
        log.warning("cohort %s has no labels: %d cases are predicted, none is scored", cohort, len(cases))
    write_json(folder.finished, {"predicted": len(cases), "scored": len(labelled)})


def _evaluation_cases(
    cohort: Mapping[str, Any], name: str, wanted: Sequence[str]
) -> "tuple[list[Case], LabelConvention]":
    """Find the raw files of the cases to predict, with their labels where the cohort has any.

    This is the only place of a run that looks for target labels, and it runs after the last training step.
    """
    from pedseg.cases import find_cases
    from pedseg.labels import get_convention

    setting = cohort["convention"]
    convention = get_convention("brats2023" if setting == "auto" else setting)
    if not wanted:
        return [], convention
    found = {
        case.id: case for case in find_cases(Path(cohort["folder"]), cohort=name, labelled=cohort["labelled"]).cases
    }
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise PedsegError(f"{cohort['folder']}: {len(missing)} cases to evaluate are not there ({missing[0]} …)")
    return [found[case_id] for case_id in wanted], convention


def _describe(selection: "Selection") -> str:
    """Say in a line which cases a run uses."""

    def count(ids: Mapping[str, Sequence[str]]) -> str:
        return ", ".join(f"{len(v)} {k}" for k, v in ids.items()) or "none"

    parts = [f"trains on {count(selection.source_train)} with labels"]
    if selection.target_train:
        parts.append(f"{count(selection.target_train)} without")
    return ", ".join([*parts, f"evaluates {count(selection.evaluation)}"])


def _is_first_process() -> bool:
    """Whether this process is rank 0, also before Lightning has set the processes up."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_hydra(train, config_name="train", arguments=arguments)


if __name__ == "__main__":
    raise SystemExit(main())
