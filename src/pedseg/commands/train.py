"""Train a model, predict the held-out cases and score them: ``pedseg train experiment=uda fold=0``.

``--dry-run`` builds everything, measures a few steps and says what the run will take; nothing is written.
"""

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.hydra_entry import run_hydra
from pedseg.errors import PedsegError, ProblemsError
from pedseg.hardware import cores
from pedseg.runs import RunFolder
from pedseg.signals import is_helper_process, stoppable

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from lightning.pytorch import Trainer

    from pedseg.cases import Case
    from pedseg.data.selection import Selection
    from pedseg.labels import LabelConvention
    from pedseg.planning import Plan
    from pedseg.settings.following import Machine
    from pedseg.settings.run import RunSettings

# Overrides that say who runs the jobs of a sweep: a dry run measures one after the other, here.
LAUNCHING = re.compile(r"^\+{0,2}(hydra/launcher|hydra\.launcher|cluster)([.@=]|$)")

log = logging.getLogger(__name__)


def settings_model() -> "type[RunSettings]":
    """Settings of this command, loaded when --help is answered."""
    from pedseg.settings.run import RunSettings

    return RunSettings


def train(settings: "RunSettings", *, plans: "list[Plan] | None" = None) -> None:
    """Run one experiment on one fold, or continue it, in its run folder.

    Args:
        settings: of the run.
        plans: where there is one it gets the plan of the run, which is not begun.

    Raises:
        PedsegError: settings, prepared cohorts or the run folder are at fault; nothing has been trained then.
        StoppedEarlyError: the run was told to stop before its last epoch.
    """
    _check_sweeping(settings)
    with stoppable():
        _train(settings, RunFolder(settings.run_dir), plans)


def _train(settings: "RunSettings", folder: RunFolder, plans: "list[Plan] | None") -> None:
    log.info("%s: starting", folder.path)  # what follows is loaded in seconds

    import torch
    from lightning.pytorch import seed_everything

    from pedseg.assembly import build_data, build_module, on_this_machine, select
    from pedseg.commands.fitting import Fit
    from pedseg.settings.stored import read_settings

    kept = read_settings(folder.path) if folder.config.exists() and not settings.overwrite else None
    settings, machine = on_this_machine(settings, kept, jobs=_jobs_side_by_side())
    if folder.finished.exists() and not settings.overwrite:
        (folder.begin if plans is None else folder.check)(settings, overwrite=False)
        log.info("%s is finished; overwrite=true trains it again", folder.path)
        return
    selection = select(settings)
    cases = evaluation_cases(settings, selection)
    _quieten_lightning(profiled=settings.trainer.profiler is not None)
    seed_everything(settings.seed, workers=True, verbose=False)
    data = build_data(settings, selection, workers=machine.workers)
    torch.set_num_threads(machine.threads)
    module = build_module(settings, spacing_mm=data.spacing_mm)
    fit = Fit(settings, folder, module, data)
    folder.check(settings, overwrite=settings.overwrite)
    if plans is not None:
        from pedseg.planning import make_plan

        plans.append(make_plan(settings, machine, module, data, selection=selection))
        return
    if settings.trainer.fast_dev_run:
        fit.try_out()
    first = _is_first_process()
    if first:
        folder.begin(settings, overwrite=settings.overwrite)
    with kept_log(folder.log if first else None):
        for text in (_describe(settings, selection), _describe_machine(settings, machine)) if first else ():
            log.info("%s: %s", folder.path, text)
        trainer = fit.train(selection)
        finish(settings, folder, cases, trainer)


@contextmanager
def kept_log(path: Path | None) -> Iterator[None]:
    """Keep a copy of the log of this block in a file, if one is given."""
    handler = logging.FileHandler(path, encoding="utf-8") if path else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def evaluation_cases(settings: "RunSettings", selection: "Selection") -> "list[Case]":
    """Find the images of the cases that will be predicted. Labels are not looked at here.

    Raises:
        PedsegError: the cohort's folder is not set, or a case is not in it.
    """
    from pedseg.data.cohorts import cases_of

    name = settings.data.evaluation
    return cases_of(settings.data.cohorts[name].folder, selection.evaluation.get(name, ()), cohort=name)


def finish(settings: "RunSettings", folder: RunFolder, cases: "list[Case]", trainer: "Trainer") -> None:
    """Predict and score the held-out cases, then mark the run as finished.

    Every process predicts its share. Scoring is the only part of a run that looks for labels of the evaluated cohort;
    it begins when the last weight is written.
    """
    from pedseg.data.cohorts import convention_of
    from pedseg.files import write_json
    from pedseg.inference import Predictor, predict_cases, settings_of_run

    name = settings.data.evaluation
    convention = convention_of(settings.data.store, name, setting=settings.data.cohorts[name].convention)
    if cases:
        device = trainer.strategy.root_device
        how = settings_of_run(settings, device, as_begun=True)
        predictor = Predictor([folder.checkpoint], device=device, settings=how)
        share = cases[trainer.global_rank :: trainer.world_size]
        problems = predict_cases(predictor, share, folder.predictions, convention=convention)
        trainer.strategy.barrier("predicted")
        if problems:
            raise ProblemsError(f"{len(problems)} cases could not be predicted:", problems)
    if trainer.is_global_zero:
        scored = score(settings, folder, cases, convention)
        write_json(folder.finished, {"predicted": len(cases), "scored": scored})


def score(settings: "RunSettings", folder: RunFolder, cases: "list[Case]", convention: "LabelConvention") -> int:
    """Score the label maps of the cases that have labels into scores.csv, and return how many had."""
    from pedseg.data.cohorts import labelled_cases
    from pedseg.evaluation.scoring import score_cases

    name = settings.data.evaluation
    cohort = settings.data.cohorts[name]
    if not cases or cohort.folder is None:
        return 0
    wanted = [case.id for case in cases]
    labelled = labelled_cases(cohort.folder, wanted, cohort=name) if cohort.labelled else []
    if labelled:
        # One process: a job of a launcher may be a worker itself, and a case takes a tenth of a second.
        score_cases(folder.predictions, labelled, output=folder.scores, convention=convention, workers=1)
        log.info("scores of %d cases: %s", len(labelled), folder.scores)
    if len(labelled) < len(cases):
        log.warning(
            "%d of %d cases of cohort %s have no label and no score", len(cases) - len(labelled), len(cases), name
        )
    return len(labelled)


def _describe(settings: "RunSettings", selection: "Selection") -> str:
    """Say in a line which cases a run uses."""

    def count(ids: Mapping[str, Sequence[str]]) -> str:
        return ", ".join(f"{len(v)} {k}" for k, v in ids.items()) or "none"

    def unlabelled(cohorts: Sequence[str]) -> str:
        return count({cohort: selection.target_train[cohort] for cohort in cohorts})

    parts = [f"trains on {count(selection.source_train)} with labels"]
    if settings.data.target:
        parts.append(f"{unlabelled(settings.data.target)} without")
    if settings.calibration_target:
        parts.append(f"is calibrated on {unlabelled(settings.calibration_target)} without")
    return ", ".join([*parts, f"evaluates {count(selection.evaluation)}"])


def _describe_machine(settings: "RunSettings", machine: "Machine") -> str:
    """Say in a line how a run uses the machine."""
    return (
        f"trains in {settings.trainer.precision} ({machine.precision}), {machine.threads} threads and "
        f"{machine.workers} loader processes on {machine.cores} cores"
    )


def _quieten_lightning(*, profiled: bool) -> None:
    """Leave out Lightning's hints: what matters of a run is in the lines of `EpochLine`, and in a profile asked for."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO if profiled else logging.NOTSET)
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


def _check_sweeping(settings: "RunSettings") -> None:
    """Refuse to train here what was meant to be submitted.

    Raises:
        PedsegError: a cluster is named, and this is no job of a sweep.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if settings.cluster is not None and HydraConfig.get().mode != RunMode.MULTIRUN:
        raise PedsegError("cluster= hands the jobs of a sweep to a scheduler; add -m, also for a single job")


def _is_first_process() -> bool:
    """Whether this process is rank 0, also before Lightning has set the processes up."""
    return not is_helper_process() and all(os.environ.get(name, "0") == "0" for name in ("NODE_RANK", "SLURM_PROCID"))


def dry_run(overrides: Sequence[str]) -> int:
    """Show the plans of what `overrides` stand for, and return the exit code.

    What Hydra writes of a sweep goes to a folder that is thrown away.
    """
    from pedseg.planning import show

    plans: list[Plan] = []

    def plan(settings: "RunSettings") -> None:
        train(settings, plans=plans)

    with tempfile.TemporaryDirectory() as folder:
        place = folder.replace("\\", "\\\\").replace("'", "\\'")
        here = [override for override in overrides if not LAUNCHING.match(override)]
        given = [*here, f"hydra.sweep.dir='{place}'"]
        code = run_hydra(plan, settings_model, config_name="train", arguments=given, table=False)
    if plans:
        show(plans)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. ``--dry-run`` says what the training will take and trains nothing."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--dry-run" in given:
        return dry_run([argument for argument in given if argument != "--dry-run"])
    return run_hydra(train, settings_model, config_name="train", arguments=arguments)
