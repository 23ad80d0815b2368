"""Prepare cohorts for training: ``pedseg prepare [data=brats] paths.adult=DIR paths.ped=DIR [--check]``."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.commands.hydra_entry import run_hydra
from pedseg.errors import PedsegError, Problem

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from omegaconf import DictConfig

    from pedseg.data.preparation import CohortCheck, CohortSettings

log = logging.getLogger(__name__)


def prepare(cfg: "DictConfig") -> None:
    """Check all cohorts, then prepare them.

    Raises:
        PedsegError: a problem was found (a table of all of them has been written), or the store was made with other
            settings. Nothing is written then.
    """
    from omegaconf import OmegaConf

    from pedseg.data.parallel import default_workers, shared_processes

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    workers = default_workers() if config["workers"] == "auto" else config["workers"]
    with shared_processes(workers):
        _prepare_all(config, workers=workers)


def _prepare_all(config: Mapping[str, Any], *, workers: int) -> None:
    """Check all cohorts, then prepare them, as `prepare`."""
    from pedseg.cases import Discovery, find_cases
    from pedseg.data.preparation import check_cohort

    data = config["data"]
    plans: list[tuple[Path, Path, CohortSettings, CohortCheck]] = []
    for name, cohort in data["cohorts"].items():
        source = _folder(name, cohort)
        settings = _settings(name, cohort, data)
        found: Discovery = find_cases(source, cohort=name, labelled=settings.labelled)
        store = Path(data["store"]) / name
        plans.append((source, store, settings, check_cohort(store, found, settings, workers=workers)))
    problems = [problem for *_, check in plans for problem in check.problems]
    if problems:
        _show(problems)
        if not config["skip_bad"]:
            raise PedsegError(
                f"{len(problems)} problems in {len({p.case for p in problems})} cases; mend them, or leave these "
                "cases out with skip_bad=true. Nothing was written."
            )
    for source, store, settings, check in plans:
        _finish(source, store, settings, check, config=config, workers=workers)


def _finish(
    source: Path,
    store: Path,
    settings: "CohortSettings",
    check: "CohortCheck",
    *,
    config: Mapping[str, Any],
    workers: int,
) -> None:
    """Settle the label convention of a checked cohort and, unless only a check was asked for, prepare it."""
    from dataclasses import replace

    from pedseg.data.preparation import claim_store, prepare_cohort, settle_convention

    if not check.usable:
        raise PedsegError(f"cohort {settings.cohort!r} in {source} has no case that can be used")
    settings = replace(settings, convention=settle_convention(settings, check.evidence))
    label = f"labels {settings.convention}" if settings.labelled else "no labels"
    if config["check"]:
        log.info("%s: %d cases, %s, no problem found", settings.cohort, len(check.usable), label)
        return
    if claim_store(store, settings, overwrite=config["overwrite"]):
        check = replace(check, ready=frozenset())
    done = prepare_cohort(store, check, settings, input_folder=source, workers=workers)
    log.info(
        "%s: %d cases in %s (%d prepared now, %d were ready), %s",
        settings.cohort, len(check.usable), store, done, len(check.usable) - done, label,
    )  # fmt: skip


def _folder(name: str, cohort: Mapping[str, Any]) -> Path:
    if cohort["folder"] is None:
        raise PedsegError(f"paths.{name} is not set; give paths.{name}=FOLDER or export PEDSEG_{name.upper()}=FOLDER")
    return Path(cohort["folder"])


def _settings(name: str, cohort: Mapping[str, Any], data: Mapping[str, Any]) -> "CohortSettings":
    from pedseg.data.preparation import CohortSettings
    from pedseg.labels import get_convention

    setting = cohort["convention"]
    spacing = data["spacing_mm"]
    return CohortSettings(
        cohort=name,
        labelled=cohort["labelled"],
        convention=None if setting == "auto" or not cohort["labelled"] else get_convention(setting),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1], spacing[2]),
    )


def _show(problems: Sequence[Problem]) -> None:
    """Write the table of problems to stderr."""
    from rich.console import Console
    from rich.table import Table

    table = Table("case", "file", "what is wrong", "what to do", title="Problems", show_lines=False)
    for problem in problems:
        table.add_row(problem.case, problem.file, problem.what, problem.fix)
    console = Console(stderr=True)
    console.print(table if console.is_terminal else _plain(problems), soft_wrap=not console.is_terminal)


def _plain(problems: Sequence[Problem]) -> str:
    """One line per problem, for logs."""
    return "\n".join(map(str, problems))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. ``--check`` stands for ``check=true``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_hydra(prepare, config_name="prepare", arguments=["check=true" if a == "--check" else a for a in given])
