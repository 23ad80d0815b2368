"""Runs commands of pedseg in forks of a process that has imported it: ``python -m tests.faults.server``.

A line of JSON comes in for every request, `Request.runs` to start together, and a line goes out when all have ended.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.faults.watch import Watch

PRELOADED = (
    "torch",
    "lightning.pytorch",
    "hydra",
    "pandas",
    "scipy.ndimage",
    "nibabel",
    "sklearn.model_selection",
    "pedseg.assembly",
    "pedseg.modules",
    "pedseg.evaluation.scoring",
    "pedseg.evaluation.pairing",
    "pedseg.cases",
    "pedseg.data.preparation",
    "pedseg.commands.train",
    "pedseg.commands.predict",
    "pedseg.commands.prepare",
    "pedseg.commands.evaluate",
    "pedseg.commands.convert",
    "pedseg.commands.postprocess",
    "pedseg.commands.hydra_run",
    "pedseg.commands.calibrate",
    "pedseg.commands.report",
    "pedseg.commands.validate",
    "pedseg.inference.cases",
    "pedseg.interop.bundle.export",
    "pedseg.interop.nnunet.importer",
    "pedseg.interop.label_maps",
    "pedseg.interop.safetensors_file",
    "pedseg.callbacks",
    "pedseg.commands.fitting",
    "pedseg.reporting.page",
    "torch._dynamo",
    "monai.networks.blocks.dynunet_block",
    "pedseg.calibration.record",
    "pedseg.choosing.plan",
)
PAUSE_S = 0.003
UNFLUSHED = 120  # Python's exit code where its last words could not be written
Run = dict[str, Any]


def main() -> None:
    """Answer requests until the input ends; a fork becomes the command that it was asked to run."""
    for module in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # collections in forks leave what they share alone
    answers = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0), "r")
    answers.write("ready\n")
    answers.flush()
    for line in requests:
        request = json.loads(line)
        children = _Children(request)
        run = children.fork_all()
        if run is not None:
            become(run)
        answers.write(json.dumps(children.wait()) + "\n")
        answers.flush()


class _Children:
    """Processes of one request."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.limit_s: float = request["limit_s"]
        self.runs: list[Run] = request["runs"]
        self.began = time.monotonic()
        self.pids: dict[int, int] = {}
        self.ended: dict[int, dict[str, Any]] = {}

    def fork_all(self) -> Run | None:
        """Start each run after its delay. Returns the run in the child, None in the parent."""
        for number, run in enumerate(self.runs):
            while time.monotonic() - self.began < run["after_s"]:
                self._reap()
                time.sleep(PAUSE_S)
            pid = os.fork()
            if pid == 0:
                return run
            self.pids[pid] = number
        return None

    def wait(self) -> list[dict[str, Any]]:
        """What became of the runs, in their order."""
        while self.pids:
            self._reap()
            passed = time.monotonic() - self.began
            for pid, number in list(self.pids.items()):
                run = self.runs[number]
                if run["kill_s"] is not None and passed > run["after_s"] + run["kill_s"]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, run["kill_by"])
                    run["kill_s"] = None
                if passed > self.limit_s:
                    with suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
            time.sleep(PAUSE_S)
        return [self.ended[number] for number in range(len(self.runs))]

    def _reap(self) -> None:
        for pid, number in list(self.pids.items()):
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                seconds = time.monotonic() - self.began
                code = os.waitstatus_to_exitcode(status)
                self.ended[number] = {
                    "code": code,
                    "seconds": seconds,
                    "late": seconds > self.limit_s and code == -signal.SIGKILL,
                    "memory_mb": usage.ru_maxrss // 1024,
                    "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
                }
                del self.pids[pid]


def become(run: Run) -> NoReturn:
    """Turn this fork into the command: streams, folder, environment and limits, then its entry point."""
    os.setsid()
    place = Path(run["cwd"])
    log = os.open(run["deeds"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, path in enumerate(("/dev/null", run["out"], run["err"])):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    for stream in run["closed"]:
        os.close(stream)
    os.chdir(run["from"])
    tempfile.tempdir = None  # what the parent has found
    for name, value in run["env"].items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    for name, value in run["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if run["fresh"]:
        os.set_inheritable(log, True)
        told = {key: run[key] for key in ("cwd", "forbidden", "arguments")} | {"log": log}
        os.execv(sys.executable, [sys.executable, "-m", "tests.faults.start", json.dumps(told)])  # noqa: S606
    leave(begin(log, place, run["forbidden"], run["arguments"]))


def begin(log: int, place: Path, forbidden: str, arguments: list[str]) -> int:
    """Run the command under watch, and return the code that it ends with."""
    from pedseg.commands.dispatcher import main as dispatch

    sys.addaudithook(Watch(log, inside=place, forbidden=forbidden))
    sys.argv = ["pedseg", *arguments]
    try:
        return dispatch()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def leave(code: int) -> NoReturn:
    """End this fork as the interpreter would, but for taking down what it shares with its parent."""
    for last in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        last()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = code or UNFLUSHED
    os._exit(code)


if __name__ == "__main__":
    main()
