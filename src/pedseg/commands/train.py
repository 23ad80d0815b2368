"""Train a model, predict the held-out cases and score them: ``pedseg train experiment=uda fold=0``.

``--dry-run`` builds everything, measures a few steps and says what the run will take; nothing is written.
"""

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.commands.hydra_entry import run_hydra
from pedseg.errors import PedsegError, ProblemsError
from pedseg.hardware import cores
from pedseg.memory import reused_memory
from pedseg.runs import RunFolder
from pedseg.signals import Stopped, is_helper_process, stoppable

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers.logger import Logger
    from omegaconf import DictConfig

    from pedseg.cases import Case
    from pedseg.data.datamodule import PatchDataModule
    from pedseg.data.selection import Selection
    from pedseg.labels import LabelConvention
    from pedseg.modules import SegmentationModule
    from pedseg.planning import Plan

# Overrides that say who runs the jobs of a sweep: a dry run measures one after the other, here.
LAUNCHING = re.compile(r"^\+{0,2}(hydra/launcher|hydra\.launcher|cluster)([.@=]|$)")

log = logging.getLogger(__name__)


def train(cfg: "DictConfig", *, plans: "list[Plan] | None" = None) -> None:
    """Run one experiment on one fold, or continue it, in its run folder.

    Args:
        cfg: as composed.
        plans: where there is one it gets the plan of the run, which is not begun.

    Raises:
        PedsegError: settings, prepared cohorts or the run folder are at fault; nothing has been trained then.
    """
    from omegaconf import OmegaConf

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    _check_cluster(config)
    with stoppable():
        _train(cfg, config, RunFolder(Path(config["run_dir"])), plans)


def _train(cfg: "DictConfig", config: dict[str, Any], folder: RunFolder, plans: "list[Plan] | None") -> None:
    log.info("%s: starting", folder.path)  # what follows is loaded in seconds

    import torch
    from lightning.pytorch import seed_everything

    from pedseg.assembly import build_data, build_module, calibration_target, on_this_machine, select
    from pedseg.inference import Settings

    kept = folder.read_config() if folder.config.exists() and not config["overwrite"] else None
    config = on_this_machine(config, kept, jobs=_jobs_side_by_side())
    if folder.finished.exists() and not config["overwrite"]:
        (folder.begin if plans is None else folder.check)(config, overwrite=False)
        log.info("%s is finished; overwrite=true trains it again", folder.path)
        return
    Settings(**{**config["prediction"], "precision": "32"})  # what cannot be used is said now, not after the training
    selection = select(config)
    cases = evaluation_cases(config, selection)
    _quieten_lightning()
    seed_everything(config["seed"], workers=True, verbose=False)
    data = build_data(config, selection)
    torch.set_num_threads(config["machine"]["threads"])
    module = build_module(cfg, config, spacing_mm=data.spacing_mm)
    if plans is not None:
        from pedseg.planning import make_plan

        folder.check(config, overwrite=config["overwrite"])
        plans.append(make_plan(cfg, config, module, data, selection=selection))
        return
    if _is_first_process():
        folder.begin(config, overwrite=config["overwrite"])
        adapted_to, calibrated_on = config["data"]["target"], calibration_target(config)
        log.info("%s: %s", folder.path, _describe(selection, adapted_to=adapted_to, calibrated_on=calibrated_on))
        log.info("%s: %s", folder.path, _describe_machine(config))
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
        EpochLine(f"{config['run_name']}/fold_{config['run_fold']}"),
    ]
    if config["callbacks"]["images"]:
        callbacks.append(SourceSlices())
    loggers = build_loggers(config, folder, first_epoch=first_epoch)
    precision = config["trainer"]["precision"]
    trainer: Trainer = instantiate(cfg.trainer, precision=precision, callbacks=callbacks, logger=loggers)
    failed = True
    try:
        with reused_memory():
            trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
        calibrate(config, folder, selection, trainer)
        failed = False
    except Stopped as stopped:
        _stop_helpers(trainer, stopped)
        raise
    finally:
        close_loggers(loggers, failed=failed)
    return trainer


def _stop_helpers(trainer: "Trainer", stopped: Stopped) -> None:
    """Stop the processes that this one has started beside it."""
    kill = getattr(trainer.strategy.launcher, "kill", None)
    if kill is not None:
        kill(stopped.signal)


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
        settings = settings_of_run(config, device, as_begun=True)
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
    from pedseg.data.cohorts import labelled_cases
    from pedseg.evaluation.scoring import score_cases

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


def _describe_machine(config: Mapping[str, Any]) -> str:
    """Say in a line how a run uses the machine."""
    machine, workers = config["machine"], config["data"]["num_workers"]
    return (
        f"trains in {config['trainer']['precision']} ({machine['precision']}), {machine['threads']} threads and "
        f"{workers} loader processes on {machine['cores']} cores"
    )


def _quieten_lightning() -> None:
    """Leave out Lightning's hints: what matters of a run is in the lines of `EpochLine`."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    hints = ("smaller than the logging interval", "in eval mode at the start", "does not have many workers", "LeafSpec")
    for text in (*hints, "across ranks is zero", "sync_dist=True", "`srun` command is available"):
        warnings.filterwarnings("ignore", f".*{text}.*")


def _jobs_side_by_side() -> int:
    """Jobs of this sweep that share the machine: those of the joblib launcher."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return 1
    jobs: int = HydraConfig.get().launcher.get("n_jobs", 1)
    return jobs if jobs > 0 else cores()


def _check_cluster(config: Mapping[str, Any]) -> None:
    """Refuse to train here what was meant to be submitted.

    Raises:
        PedsegError: a cluster is named, and this is no job of a sweep; or the job has other GPUs than it trains with.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if config["cluster"] and HydraConfig.get().mode != RunMode.MULTIRUN:
        raise PedsegError("cluster= hands the jobs of a sweep to a scheduler; add -m, also for a single job")
    cluster, trainer = config["cluster"] or {}, config["trainer"]
    for name, asked in (("gpus", "devices"), ("nodes", "num_nodes")):
        wanted, given = cluster.get(name, 0), trainer[asked]
        if wanted > 1 and str(given) not in (str(wanted), "auto"):
            raise PedsegError(
                f"cluster.{name}={wanted} starts as many processes, and trainer.{asked}={given} trains with others; "
                f"give trainer=ddp trainer.{asked}={wanted}"
            )


def _is_first_process() -> bool:
    """Whether this process is rank 0, also before Lightning has set the processes up."""
    return not is_helper_process() and all(os.environ.get(name, "0") == "0" for name in ("NODE_RANK", "SLURM_PROCID"))


def dry_run(overrides: Sequence[str]) -> int:
    """Show the plans of what `overrides` stand for, and return the exit code.

    Hydra's own outputs go to a folder that is thrown away.
    """
    from pedseg.planning import show

    plans: list[Plan] = []

    def plan(cfg: "DictConfig") -> None:
        train(cfg, plans=plans)

    with tempfile.TemporaryDirectory() as folder:
        place = folder.replace("\\", "\\\\").replace("'", "\\'")
        away = [f"hydra.{mode}.dir='{place}'" for mode in ("run", "sweep")]
        here = [override for override in overrides if not LAUNCHING.match(override)]
        code = run_hydra(plan, config_name="train", arguments=[*here, *away])
    if plans:
        show(plans)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. ``--dry-run`` says what the training will take and trains nothing."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--dry-run" in given:
        return dry_run([argument for argument in given if argument != "--dry-run"])
    return run_hydra(train, config_name="train", arguments=arguments)
