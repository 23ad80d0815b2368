"""What the Hydra entry points share: where conf/ lies, how a run is named, and how a user's mistake ends a command."""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pedseg.commands.options import USAGE_ERROR, exit_code
from pedseg.hardware import cores
from pedseg.settings.history import refuse_moved

LONGEST_NAME = 150

TWICE = re.compile(r"Multiple values for (\S+)\. To override")  # what Hydra says of +group=option

# Overrides that change where or how fast a run happens, not what comes out of it: they are no part of a run's name.
NOT_IN_RUN_NAME = re.compile(
    r"^(experiment|fold|scale|sweep|overwrite|cluster|logger|hydra|paths|callbacks|data\.num_workers|data\.store"
    r"|data\.cohorts\.\w+\.folder|trainer\.(accelerator|devices|num_nodes|strategy|enable_progress_bar|log_every_n_steps))"
    r"(/|\.|$)"
)


def conf_dir() -> Path:
    """Folder of the Hydra configuration: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def run_name(experiment: str | None, overrides: Sequence[str]) -> str:
    """Name a run: the experiment, then whatever else was overridden, so that an ablation gets a folder of its own.

    `overrides` are Hydra's (``trainer.max_epochs=5``). The experiment alone for a plain run, else
    ``experiment/key=value,key=value`` in the order of the keys; what would be too long for a file name ends in a hash.
    """
    kept = sorted(o.lstrip("+~") for o in overrides if not NOT_IN_RUN_NAME.match(o.lstrip("+~").split("=")[0]))
    name = experiment or "custom"
    if not kept:
        return name
    suffix = re.sub(r"[^\w.,=+-]", "_", ",".join(kept))
    if len(suffix) > LONGEST_NAME:
        suffix = f"{suffix[:LONGEST_NAME]}-{hashlib.sha256(suffix.encode()).hexdigest()[:8]}"
    return f"{name}/{suffix}"


def minutes(hours: float) -> int:
    """Whole minutes of `hours`, for schedulers."""
    return max(1, round(60 * float(hours)))


def tasks(gpus: int) -> int:
    """Processes on a node with `gpus` GPUs: one for each, and one where there is none."""
    return max(1, int(gpus))


RESOLVERS: dict[str, Callable[..., Any]] = {"run_name": run_name, "cores": cores, "minutes": minutes, "tasks": tasks}


def help_text(config_name: str) -> str:
    """What ``--help`` alone shows: the groups of conf/ with their options, and the settings with their comments.

    It reads the names and the texts of files and loads no Hydra, whose help takes twenty times as long. With overrides
    beside it, ``--help`` is Hydra's and shows the configuration that they give; ``--cfg job`` shows it by itself.
    """
    conf = conf_dir()
    settings = (conf / f"{config_name}.yaml").read_text(encoding="utf-8")
    chosen = re.findall(r"^  - (\w+): (\w+)", settings.partition("defaults:")[2], re.MULTILINE)
    files = [(f"{group}={name}", conf / group / f"{name}.yaml") for group, name in chosen if name != "null"]
    groups = [
        f"{folder.name}: {', '.join(sorted(path.stem for path in folder.glob('*.yaml')))}"
        for folder in sorted(path for path in conf.iterdir() if path.is_dir())
    ]
    return "\n".join(
        [
            f"pedseg {config_name} [group=option | setting=value]...\n",
            "--cfg job shows the configuration that overrides give, --help beside them also the groups;",
            "-m runs one job for each of several values; --hydra-help has the rest.\n",
            "== Configuration groups ==",
            *groups,
            "\n== Settings ==",
            settings,
            *(f"== {name} ==\n{path.read_text(encoding='utf-8')}" for name, path in files),
        ]
    )


def overrides_last(arguments: Sequence[str]) -> list[str]:
    """The flags, then the overrides, each in their order: Hydra's parser knows no flag between overrides."""

    def is_override(argument: str) -> bool:
        return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))

    return sorted(arguments, key=is_override)


def run_hydra(task: Callable[[Any], None], *, config_name: str, arguments: Sequence[str] | None = None) -> int:
    """Compose `config_name` from conf/ with the command line and run `task` once per job.

    Returns:
        0, or 2 after a message when the settings or the data are at fault.
    """
    sys.argv[1:] = overrides_last(sys.argv[1:] if arguments is None else arguments)
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(help_text(config_name))
        return 0

    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(f"pedseg.{name}", resolver, replace=True)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions reach the line below instead of Hydra's own handler
    main = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(task)

    def body() -> None:
        refuse_moved(sys.argv[1:])
        main()

    try:
        return exit_code(body)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        message = str(error) if str(cause) in str(error) else f"{error}\n{cause}"
        if twice := TWICE.match(message):
            message = f"{twice[1]} has a choice already: give {twice[1]}=... without +, or several as {twice[1]}=[a,b]"
        sys.stderr.write(f"pedseg: {message}\n")
        return USAGE_ERROR
