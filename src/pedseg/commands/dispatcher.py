"""The console command: ``pedseg <verb> …`` does what ``python -m pedseg.<verb> …`` does."""

import runpy
import sys
from collections.abc import Sequence

from pedseg import __version__
from pedseg.exits import USAGE_ERROR, exit_code
from pedseg.sinks import terminal

VERBS = {
    "phantom": "make synthetic cohorts of adults and children",
    "check": "say what is wrong with the images and labels of cohorts",
    "prepare": "check cohorts and prepare them for training",
    "train": "train a model, predict the held-out cases and score them",
    "status": "say which runs are finished, running, stopped, failed or left",
    "calibrate": "set a network's thresholds on images without labels",
    "predict": "segment a folder of cases",
    "postprocess": "clear up label maps by rules",
    "evaluate": "score label maps against labels",
    "validate": "score trained runs without labels of the target",
    "report": "tables, statistics and figures of trained models",
    "view": "look at a page and its cases in the browser",
    "benchmark": "how much of the gap between adults and children each model closes",
    "dashboard": "panels of W&B that show whether adaptation works",
    "convert": "to and from nnU-Net, MONAI bundles, ONNX and safetensors",
    "completion": "print a script that completes verbs and options in a shell",
}


def help_text() -> str:
    """What ``pedseg --help`` shows."""
    width = max(map(len, VERBS))
    verbs = (f"  {verb:{width}}  {what}" for verb, what in VERBS.items())
    return "\n".join(["usage: pedseg VERB ...\n", *verbs, "\npedseg VERB --help says what a verb takes."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 after help and 2 where there is no such verb.

    A verb's module runs as the main one, so that processes which it starts beside itself start by its name.

    Raises:
        SystemExit: with the exit code of the verb.
    """
    verb, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or [""]
    if verb in {"-h", "--help"}:
        print(help_text())
    elif verb == "--version":
        print(f"pedseg {__version__}")
    elif verb not in VERBS:
        sys.stderr.write(terminal(_unknown(verb)))
        return USAGE_ERROR
    else:
        sys.argv[1:] = rest
        return exit_code(lambda: _run(verb))
    return 0


def _run(verb: str) -> None:
    runpy.run_module(f"pedseg.{verb}", run_name="__main__", alter_sys=True)


def _unknown(verb: str) -> str:
    from difflib import get_close_matches

    if not verb:
        return f"{help_text()}\n"
    near = get_close_matches(verb, VERBS, n=1)
    hint = f"do you mean {near[0]}?" if near else f"the verbs are {', '.join(VERBS)}"
    return f"pedseg: there is no verb {verb}; {hint}\n"
