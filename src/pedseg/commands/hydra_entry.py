"""What the Hydra entry points share: where conf/ lies, how a run is named, and how a user's mistake ends a command."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.commands.setting_help import about, screen
from pedseg.errors import PedsegError
from pedseg.exits import exit_code
from pedseg.settings.conf import conf_dir

if TYPE_CHECKING:  # Hydra and the settings wait until --help is answered
    from pedseg.commands.jobs import Settings

MULTIRUN = "hydra.mode=MULTIRUN"
# Flags with which Hydra shows something and runs nothing, or reads other files.
SHOWING = ("help", "hydra_help", "cfg", "info", "shell_completion", "experimental_rerun", "config_path", "config_name")

# Overrides that say who runs the jobs of a sweep.
LAUNCHING = re.compile(r"^\+{0,2}(hydra/launcher|hydra\.launcher|cluster)([.@=]|$)")


def overrides_last(arguments: Sequence[str]) -> list[str]:
    """The flags, then the overrides, each in their order: Hydra's parser knows no flag between overrides."""

    def is_override(argument: str) -> bool:
        return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))

    return sorted(arguments, key=is_override)


def run_hydra(
    task: "Callable[[Settings], None]",
    model: "Callable[[], type[Settings]]",
    *,
    config_name: str,
    arguments: Sequence[str] | None = None,
    check: "Callable[[Settings], None] | None" = None,
    table: bool = True,
) -> int:
    """Read the settings that `config_name` of conf/ and the command line give, and run `task` once per job.

    Everything is checked before the first job begins.

    Args:
        task: the command.
        model: loads the class of its settings.
        config_name: its file in conf/.
        arguments: of the command line, in place of the process's own.
        check: what else is checked of every job of a sweep before the first begins; the task checks it itself, too.
        table: whether a sweep ends with what became of each job.

    Returns:
        0; 2 after a message when the settings or the data are at fault; 3 when a run has stopped before its end because
        it was told to. Of a sweep, that of a failed job before that of a stopped one.
    """
    sys.argv[1:] = overrides_last(sys.argv[1:] if arguments is None else arguments)
    if sys.argv[1:2] in (["--help"], ["-h"]) and not any("=" in word for word in sys.argv[2:]):
        return exit_code(lambda: print(_help(sys.argv[2:], model, config_name)))

    def command() -> int:
        from hydra._internal.utils import get_args_parser

        from pedseg.commands.hydra_run import run
        from pedseg.commands.jobs import Job
        from pedseg.commands.overrides import as_hydra_takes

        sys.argv[1:] = as_hydra_takes(sys.argv[1:])
        flags = get_args_parser().parse_args()
        job = Job(task, model(), swept=flags.multirun or MULTIRUN in flags.overrides, check=check)
        if any(getattr(flags, name) for name in SHOWING):
            return _show(job, config_name)
        overrides = [*flags.overrides, *_searched(flags.config_dir, flags.overrides)]
        return run(job, overrides, config_name=config_name, table=table)

    return exit_code(command)


def run_here(
    task: "Callable[[Settings], None]",
    model: "Callable[[], type[Settings]]",
    overrides: Sequence[str],
    *,
    config_name: str,
) -> int:
    """As `run_hydra`, with the jobs of a sweep one after the other in this process, whoever they were meant for.

    What Hydra writes of a sweep goes to a folder that is thrown away.
    """
    logging.getLogger("hydra").setLevel(logging.WARNING)  # it names each job before it begins
    with tempfile.TemporaryDirectory() as folder:
        place = folder.replace("\\", "\\\\").replace("'", "\\'")
        here = [override for override in overrides if not LAUNCHING.match(override)]
        given = [*here, f"hydra.sweep.dir='{place}'"]
        return run_hydra(task, model, config_name=config_name, arguments=given, table=False)


def _help(words: Sequence[str], model: "Callable[[], type[Settings]]", config_name: str) -> str:
    """A screen, or what was asked for; with overrides beside it, help is Hydra's and shows what they give."""
    return "\n".join(about(config_name, word, model()) for word in words) if words else screen(config_name)


def _searched(folder: str | None, overrides: Sequence[str]) -> list[str]:
    """Override that has files of conf/ looked for in `folder`, too: ``--config-dir`` in Hydra's words.

    Raises:
        PedsegError: there is no such folder, or the overrides say already where to look.
    """
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise PedsegError(f"--config-dir={folder}: there is no such folder")
    if any(override.startswith("hydra.searchpath=") for override in overrides):
        raise PedsegError(f"--config-dir={folder}: give it in hydra.searchpath=[...], which is set, too")
    return [f"hydra.searchpath=['file://{Path(folder).absolute()}']"]


def _show(job: Any, config_name: str) -> int:  # noqa: ANN401  (a job)
    """Let Hydra show what it was asked for."""
    import hydra

    from pedseg.commands.hydra_run import register_resolvers, understandable_errors

    register_resolvers()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions come here instead of to Hydra's own handler
    with understandable_errors():
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    return 0
