"""The files of conf/: where they lie, which options a group has, and the values that stand in them."""

from pathlib import Path
from typing import Any

import yaml

Values = dict[str, Any]
PACKAGE = "# @package"


def conf_dir() -> Path:
    """Folder of the Hydra configuration: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def groups() -> dict[str, list[str]]:
    """Names of the groups, and of the options of each."""
    folders = sorted(path for path in conf_dir().iterdir() if path.is_dir())
    return {folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in folders}


def values_of(name: str) -> Values:
    """What one file says by itself, such as ``train`` or ``trainer/auto``, with nothing resolved."""
    content: Values = yaml.safe_load((conf_dir() / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    return content


def default_options(name: str) -> dict[str, list[str]]:
    """The options of each group that ``train`` or ``prepare`` chooses where nobody else does."""
    entries = values_of(name)["defaults"]
    chosen = {group: option for entry in entries if isinstance(entry, dict) for group, option in entry.items()}
    named = {group: option if isinstance(option, list) else [option] for group, option in chosen.items()}
    return {group: [option for option in named[group] if option] for group in named if group in groups()}


def defaults(name: str) -> Values:
    """What ``train`` or ``prepare`` and the options that it chooses say, with nothing resolved."""
    own = {key: value for key, value in values_of(name).items() if key not in ("defaults", "hydra")}
    chosen = {
        group: {key: value for option in options for key, value in values_of(f"{group}/{option}").items()}
        for group, options in default_options(name).items()
        if options
    }
    return {**own, **chosen}


def first_comment(group: str, option: str) -> str:
    """What an option of a group is: the first paragraph of comment in its file, in one line."""
    lines = (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    paragraph = []
    for line in (line for line in lines if not line.startswith(PACKAGE)):
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or not text:
            break
        paragraph.append(text)
    return " ".join(paragraph)
