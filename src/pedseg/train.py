"""Train a model, predict the held-out cases and score them: ``python -m pedseg.train experiment=uda fold=0``."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.configuration import run_hydra
from pedseg.errors import ProblemsError
from pedseg.runs import RunFolder

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from lightning.pytorch import Trainer
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

    from pedseg.assembly import build_data, build_module, calibration_target, select
    from pedseg.inference import Settings

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    folder = RunFolder(Path(config["run_dir"]))
    if folder.finished.exists() and not config["overwrite"]:
        folder.begin(config, overwrite=False)
        log.info("%s is finished; overwrite=true trains it again", folder.path)
        return
    Settings(**{**config["prediction"], "precision": "32"})  # what cannot be used is said now, not after the training
    selection = select(config)
    cases = evaluation_cases(config, selection)
    _quieten_lightning()
    seed_everything(config["seed"], workers=True, verbose=False)
    data = build_data(config, selection)
    _share_cores(data.num_workers)
    module = build_module(cfg, config, spacing_mm=data.spacing_mm)
    if _is_first_process():
        folder.begin(config, overwrite=config["overwrite"])
        adapted_to, calibrated_on = config["data"]["target"], calibration_target(config)
        log.info("%s: %s", folder.path, _describe(selection, adapted_to=adapted_to, calibrated_on=calibrated_on))
    trainer = fit(cfg, config, folder, module, data, selection=selection)
    finish(config, folder, cases, trainer)


def fit(
    cfg: "DictConfig",
    config: Mapping[str, Any],
    folder: RunFolder,
    module: "SegmentationModule",
    data: "PatchDataModule",
    *,
    selection: "Selection",
) -> "Trainer":
    """Train to the last epoch, from the last checkpoint if there is one, and calibrate what has been trained."""
    from hydra.utils import instantiate

    from pedseg.assembly import build_loggers, calibrate
    from pedseg.callbacks import AdversaryHealth, EpochLine, LastCheckpoint, SourceSlices, StepTimer
    from pedseg.inference.checkpoint import read_checkpoint

    resumed = folder.checkpoint if folder.checkpoint.exists() else None
    first_epoch = 0
    if resumed:
        first_epoch = int(read_checkpoint(resumed)["epoch"]) + 1
        log.info("continuing at epoch %d from %s", first_epoch + 1, resumed)
    callbacks = [
        StepTimer(),
        AdversaryHealth(),
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
        calibrate(config, folder, selection, trainer)
        failed = False
    finally:
        close_loggers(loggers, failed=failed)
    return trainer


def close_loggers(loggers: Sequence["Logger"], *, failed: bool) -> None:
    """Finish the W&B run of this job, so that the next job of a sweep gets one of its own."""
    from pedseg.callbacks.tracking import finish_wandb

    for logger in loggers:
        logger.finalize("failed" if failed else "success")
    finish_wandb(loggers, failed=failed)


def evaluation_cases(config: Mapping[str, Any], selection: "Selection") -> "list[Case]":
    """Find the images of the cases that will be predicted. Labels are not looked at here.

    Raises:
        PedsegError: the cohort's folder is not set, or a case is not in it.
    """
    from pedseg.data.cohorts import cases_of

    name = config["data"]["evaluation"]
    return cases_of(config["data"]["cohorts"][name]["folder"], selection.evaluation.get(name, ()), cohort=name)


def finish(config: Mapping[str, Any], folder: RunFolder, cases: "list[Case]", trainer: "Trainer") -> None:
    """Predict and score the held-out cases, then mark the run as finished.

    Every process predicts its share. Scoring is the only part of a run that looks for labels of the evaluated cohort;
    it begins when the last weight is written.
    """
    from pedseg.data.cohorts import convention_of
    from pedseg.files import write_json
    from pedseg.inference import Predictor, predict_cases, settings_of_run

    data = config["data"]
    name = data["evaluation"]
    convention = convention_of(Path(data["store"]), name, setting=data["cohorts"][name]["convention"])
    if cases:
        device = trainer.strategy.root_device
        settings = settings_of_run(config["prediction"], device)
        predictor = Predictor([folder.checkpoint], device=device, settings=settings)
        share = cases[trainer.global_rank :: trainer.world_size]
        problems = predict_cases(predictor, share, folder.predictions, convention=convention)
        trainer.strategy.barrier("predicted")
        if problems:
            raise ProblemsError(f"{len(problems)} cases could not be predicted:", problems)
    if trainer.is_global_zero:
        scored = score(config, folder, cases, convention)
        write_json(folder.finished, {"predicted": len(cases), "scored": scored})


def score(config: Mapping[str, Any], folder: RunFolder, cases: "list[Case]", convention: "LabelConvention") -> int:
    """Score the label maps of the cases that have labels into scores.csv, and return how many had."""
    from pedseg.analysis.scoring import score_cases
    from pedseg.data.cohorts import labelled_cases

    name = config["data"]["evaluation"]
    cohort = config["data"]["cohorts"][name]
    if not cases:
        return 0
    wanted = [case.id for case in cases]
    labelled = labelled_cases(cohort["folder"], wanted, cohort=name) if cohort["labelled"] else []
    if labelled:
        # One process: a job of a launcher may be a worker itself, and a case takes a tenth of a second.
        score_cases(folder.predictions, labelled, output=folder.scores, convention=convention, workers=1)
        log.info("scores of %d cases: %s", len(labelled), folder.scores)
    if len(labelled) < len(cases):
        log.warning(
            "%d of %d cases of cohort %s have no label and no score", len(cases) - len(labelled), len(cases), name
        )
    return len(labelled)


def _describe(selection: "Selection", *, adapted_to: Sequence[str], calibrated_on: Sequence[str]) -> str:
    """Say in a line which cases a run uses."""

    def count(ids: Mapping[str, Sequence[str]]) -> str:
        return ", ".join(f"{len(v)} {k}" for k, v in ids.items()) or "none"

    def unlabelled(cohorts: Sequence[str]) -> str:
        return count({cohort: selection.target_train[cohort] for cohort in cohorts})

    parts = [f"trains on {count(selection.source_train)} with labels"]
    if adapted_to:
        parts.append(f"{unlabelled(adapted_to)} without")
    if calibrated_on:
        parts.append(f"is calibrated on {unlabelled(calibrated_on)} without")
    return ", ".join([*parts, f"evaluates {count(selection.evaluation)}"])


def _quieten_lightning() -> None:
    """Leave out Lightning's hints: what matters of a run is in the lines of `EpochLine`."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    hints = ("smaller than the logging interval", "in eval mode at the start", "does not have many workers", "LeafSpec")
    for text in (*hints, "across ranks is zero"):
        warnings.filterwarnings("ignore", f".*{text}.*")


def _share_cores(loader_workers: int) -> None:
    """Leave a core to every loader process when the CPU trains: more threads than cores can be ten times slower.

    OMP_NUM_THREADS, where it is set, has been heeded already.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ and not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - loader_workers))


def _is_first_process() -> bool:
    """Whether this process is rank 0, also before Lightning has set the processes up."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_hydra(train, config_name="train", arguments=arguments)


if __name__ == "__main__":
    raise SystemExit(main())
