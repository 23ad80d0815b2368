"""Train a model, predict the held-out cases and score them: ``pedseg train experiment=uda fold=0``.

``--dry-run`` builds everything, measures a few steps and says what the run will take; nothing is written.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.hydra_entry import run_here, run_hydra
from pedseg.errors import PedsegError
from pedseg.hardware import cores
from pedseg.locks import writing
from pedseg.ownership import is_recorded
from pedseg.runs import RunFolder
from pedseg.signals import is_helper_process, stoppable
from pedseg.sinks import VisibleFormatter

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from lightning.pytorch import Trainer

    from pedseg.cases import Case
    from pedseg.data.selection import Selection
    from pedseg.planning import Plan
    from pedseg.settings.following import Machine
    from pedseg.settings.run import RunSettings

log = logging.getLogger(__name__)


def settings_model() -> "type[RunSettings]":
    """Settings of this command, loaded when --help is answered."""
    from pedseg.settings.run import RunSettings

    return RunSettings


def check(settings: "RunSettings") -> None:
    """Ask what the settings name whether it can be made as it is set, before the first job of a sweep begins.

    Raises:
        PedsegError: something cannot; a line for each fault.
    """
    from pedseg.assembly import check_parts

    check_parts(settings)


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
    folder = RunFolder(settings.run_dir)
    keeps = plans is None and not settings.trainer.fast_dev_run and _is_first_process()
    with stoppable(), writing(folder.path, within=folder.written) if keeps else nullcontext():
        _train(settings, folder, plans)


def _train(settings: "RunSettings", folder: RunFolder, plans: "list[Plan] | None") -> None:
    log.info("%s: starting", folder.path)  # what follows is loaded in seconds

    import torch
    from lightning.pytorch import seed_everything

    from pedseg.assembly import (
        build_data,
        build_module,
        check_leaks,
        check_parts,
        evaluation_cases,
        followed,
        on_this_machine,
        select,
        with_table_noted,
    )
    from pedseg.callbacks.checkpoint import check_checkpoint_room
    from pedseg.commands.fitting import Fit
    from pedseg.settings.stored import read_settings
    from pedseg.standing import told_its_end

    check_parts(settings)
    settings = with_table_noted(settings)
    kept = read_settings(folder.path) if folder.config.exists() and not settings.overwrite else None
    settings, machine = on_this_machine(settings, kept, jobs=_jobs_side_by_side())
    if folder.finished.exists() and not settings.overwrite:
        _go_on_from_finished(settings, folder, planned=plans is not None)
        return
    selection = select(settings)
    check_leaks(settings, selection)
    cases = evaluation_cases(settings, selection)
    _quieten_lightning(profiled=settings.trainer.profiler is not None)
    seed_everything(settings.seed, workers=True, verbose=False)
    data = build_data(settings, selection, workers=machine.workers)
    torch.set_num_threads(machine.threads)
    module = build_module(settings, spacing_mm=data.spacing_mm)
    fit = Fit(settings, folder, module, data)
    _check_folder(settings, folder, cases)
    if plans is None:
        check_checkpoint_room(folder, module)
    if plans is not None:
        from pedseg.planning import make_plan

        plans.append(make_plan(settings, machine, module, data, selection=selection))
        return
    if settings.trainer.fast_dev_run:
        fit.try_out()
    first = _is_first_process()
    if first:
        folder.begin(settings, overwrite=settings.overwrite)
    with kept_log(folder.log if first else None), told_its_end(folder) if first else nullcontext():
        for text in (_describe(settings, selection), _describe_machine(settings, machine)) if first else ():
            log.info("%s: %s", folder.path, text)
        with followed(settings, folder, first_epoch=fit.checkpoint.done) as loggers:
            finish(settings, folder, cases, selection, fit.train(loggers))


def _check_folder(settings: "RunSettings", folder: RunFolder, cases: "Sequence[Case]") -> None:
    """Refuse, before anything is written, what the run's folder does not go with.

    Raises:
        PedsegError: it holds a run or a variant with other settings, or a variant would have no labelled cases to go
            by.
    """
    from pedseg.assembly import missing_variants
    from pedseg.assembly.cases import check_held_out
    from pedseg.assembly.few_labels import few_cases
    from pedseg.settings.variants import KEEP_LARGEST

    folder.check(settings, overwrite=settings.overwrite)
    if not settings.overwrite:
        missing_variants(settings, folder)
    for name in settings.variant:
        place = folder.variant(name)
        place.check([case.id for case in cases], anew=settings.overwrite and not is_recorded(place.path))
        few_cases(settings, settings.variant[name])
        if settings.variant[name].rules == KEEP_LARGEST or settings.variant[name].needs_source:
            check_held_out(settings, folder, to=f"make {name} with")


def _go_on_from_finished(settings: "RunSettings", folder: RunFolder, *, planned: bool) -> None:
    """Predict a finished run in the variants that it lacks, unless it is only `planned`."""
    folder.check(settings, overwrite=False)
    if planned:
        log.info("%s is finished; overwrite=true trains it again", folder.path)
    elif _is_first_process():
        add_variants(settings, folder)


@contextmanager
def kept_log(path: Path | None) -> Iterator[None]:
    """Keep a copy of the log of this block in a file, if one is given."""
    handler = logging.FileHandler(path, encoding="utf-8") if path else logging.NullHandler()
    handler.setFormatter(VisibleFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def finish(
    settings: "RunSettings", folder: RunFolder, cases: "list[Case]", selection: "Selection", trainer: "Trainer"
) -> None:
    """Predict and score the held-out cases in every variant, mark the run as finished, and score it without labels."""
    from pedseg.assembly import Processes, Trained, validate_own
    from pedseg.files import write_json

    Trained(settings, folder, cases, selection, Processes.of(trainer)).make_variants()
    if trainer.is_global_zero:
        write_json(folder.finished, {"predicted": len(cases)})
        if settings.callbacks.validators:
            validate_own(folder, trainer.strategy.root_device)


def add_variants(settings: "RunSettings", folder: RunFolder) -> None:
    """Make what a finished run does not have yet, and tell its trackers; nothing is trained."""
    from pedseg.assembly import (
        Processes,
        Trained,
        check_leaks,
        evaluation_cases,
        missing_variants,
        retold,
        select,
        validate_own,
    )
    from pedseg.assembly.machine import training_device

    missing = missing_variants(settings, folder)
    folder.begin(settings, overwrite=False)
    what = f"it is predicted as {', '.join(missing)}" if missing else "overwrite=true trains it again"
    log.info("%s is finished; %s", folder.path, what)
    device = training_device(settings.trainer.accelerator)
    with retold(folder), kept_log(folder.log if missing else None):
        if missing:
            selection = select(settings)
            if settings.few_labelled:
                check_leaks(settings, selection)
            cases = evaluation_cases(settings, selection)
            Trained(settings, folder, cases, selection, Processes(device)).make_variants()
        if settings.callbacks.validators:
            validate_own(folder, device)


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
    if settings.few_labelled:
        parts.append(f"reads a few labels of {', '.join(settings.few_labelled)} for thresholds")
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
    return not is_helper_process() and all(
        os.environ.get(name, "0") == "0" for name in ("NODE_RANK", "RANK", "SLURM_PROCID")
    )


def dry_run(overrides: Sequence[str]) -> int:
    """Show the plans of what `overrides` stand for, and return the exit code."""
    from pedseg.planning import show

    plans: list[Plan] = []

    def plan(settings: "RunSettings") -> None:
        train(settings, plans=plans)

    code = run_here(plan, settings_model, overrides, config_name="train")
    if plans:
        show(plans)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. ``--dry-run`` says what the training will take and trains nothing."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--dry-run" in given:
        return dry_run([argument for argument in given if argument != "--dry-run"])
    return run_hydra(train, settings_model, config_name="train", arguments=arguments, check=check)
