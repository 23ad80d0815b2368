"""A script that completes verbs, options and the names in conf/: ``source <(pedseg completion bash)``."""

import argparse
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pedseg.commands.dispatcher import VERBS
from pedseg.commands.options import command, run

if TYPE_CHECKING:  # the settings wait until --help is answered
    from pedseg.settings.keys import Key

SHELLS = ("bash", "zsh", "fish")
SETTINGS = {"check": "prepare", "prepare": "prepare", "train": "train"}  # verbs that take settings → a file of conf/
OPTIONS = ("check",)  # those among them that take options of their own, too
WRITTEN = "machine."  # what a run writes itself
FOLDS = ("0", "1", "2", "3", "4", "all")

# To bash, key=value are three words, of which the last is completed.
BASH = """
_pedseg_settings() {
  local typed=$1 before=${COMP_WORDS[COMP_CWORD-1]} word
  if [[ $typed == "=" ]]; then typed="$before="
  elif [[ $before == "=" ]]; then typed="${COMP_WORDS[COMP_CWORD-2]}=$typed"; fi
  for word in $(compgen -W "$2" -- "$typed"); do
    if [[ $typed == *=* ]]; then echo "${word#*=}"; else echo "$word"; fi
  done
}
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "completion",
        "Print a script that completes verbs, options, experiments and the other names in conf/.",
        epilog="bash: `source <(pedseg completion bash)` in ~/.bashrc; zsh: pedseg completion zsh > _pedseg, in a "
        "folder of $fpath; fish: pedseg completion fish > ~/.config/fish/completions/pedseg.fish",
    )
    p.add_argument("shell", choices=SHELLS, help=", ".join(SHELLS))
    return p


def script(shell: str) -> str:
    """The script for a shell."""
    import shtab

    root = argparse.ArgumentParser(prog="pedseg")
    root.add_argument("--version", action="store_true", help="print the version")
    verbs = root.add_subparsers(metavar="VERB")
    for verb, what in VERBS.items():
        own = verb not in SETTINGS or verb in OPTIONS
        described = parser_of(verb) if own else settings_parser(verb)
        if verb in SETTINGS:
            _complete_settings(described, verb)
        _complete_values(described, shtab.FILE)
        verbs.add_parser(verb, help=what, parents=[described], add_help=False)
    return shtab.complete(root, shell)


def parser_of(verb: str) -> argparse.ArgumentParser:
    """What a verb that takes options says of its command line."""
    module = import_module("pedseg.phantom.__main__" if verb == "phantom" else f"pedseg.commands.{verb}")
    described: argparse.ArgumentParser = module.parser()
    return described


def settings_parser(verb: str) -> argparse.ArgumentParser:
    """Flags and settings of a verb whose command line is Hydra's."""
    p = argparse.ArgumentParser()
    p.add_argument("--dry-run" if verb == "train" else "--check", action="store_true", help="say what would be done")
    p.add_argument("-m", "--multirun", action="store_true", help="a job for each of several values")
    p.add_argument("--cfg", choices=("job", "hydra", "all"), help="show the configuration")
    p.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings")
    return p


def _complete_settings(described: argparse.ArgumentParser, verb: str) -> None:
    """Have the settings of a verb completed by the names in conf/."""
    known = " ".join(settings_words(SETTINGS[verb]))
    bash = f'{BASH}\n_pedseg_{verb}() {{ _pedseg_settings "$1" "{known}"; }}\n'
    complete: Any = {"bash": f"_pedseg_{verb}", "zsh": f"({known})", "fish": known, "preamble": {"bash": bash}}
    (words,) = (action for action in described._actions if action.dest == "settings")
    words.complete = complete  # type: ignore[attr-defined]


def settings_words(config: str) -> Iterator[str]:
    """``group=option`` for every file in conf/ that a verb may choose, and ``key=value`` where the values are few."""
    from pedseg.settings.conf import default_options, groups
    from pedseg.settings.keys import root

    options = groups()
    yield from (f"{group}={option}" for group in sorted(default_options(config)) for option in options[group])
    if config == "train":
        yield from (f"fold={fold}" for fold in FOLDS)
    for key in root(import_module(f"pedseg.commands.{config}").settings_model()).leaves():
        if "<" not in key.name and not key.name.startswith(WRITTEN):
            yield from (f"{key.name}={value}" for value in _few_values(key))


def _few_values(key: "Key") -> tuple[str, ...]:
    """Values of a key that is a switch or a choice; none of another."""
    from pedseg.settings.keys import unwrapped

    kind = unwrapped(key.annotation)
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else ()


def _complete_values(described: argparse.ArgumentParser, file: Any) -> None:  # noqa: ANN401  (shtab's)
    """Have paths completed as such, and variants by their names in conf/, also those of subcommands."""
    from pedseg.settings.conf import groups

    for action in described._actions:
        if action.dest == "variant":
            action.choices = groups()["variant"]
        if action.type is Path:
            action.complete = file  # type: ignore[attr-defined]
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _complete_values(inner, file)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(parser, lambda arguments: print(script(arguments.shell)), argv)
