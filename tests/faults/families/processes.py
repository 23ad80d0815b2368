"""Commands that are killed, run side by side, or started in a poor environment, and wrong command lines."""

import random
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from tests.faults.stage import Ended, Stage
from tests.faults.trial import Scene, Trial
from tests.faults.verdict import TEMPORARY, snapshot
from tests.faults.world import (
    BUNDLED,
    CHECKED,
    CLEARED,
    CLEARED_RUN,
    CONTINUED,
    EVALUATED,
    IMPORTED,
    MENDED,
    PREDICTED,
    PREPARED,
    RENAMED,
    REPORTED,
    SPLIT,
    STORED,
    TRAINED,
    VALIDATED,
)

# How long each command takes here, in which it is killed.
KILLED: tuple[tuple[Scene, float], ...] = (
    (PREPARED, 0.6),
    (TRAINED, 1.6),
    (CONTINUED, 1.4),
    (PREDICTED, 0.35),
    (RENAMED, 0.12),
    (EVALUATED, 0.25),
    (CLEARED, 0.15),
    (CLEARED_RUN, 0.3),
    (BUNDLED, 0.4),
    (STORED, 0.15),
    (IMPORTED, 0.2),
    (REPORTED, 2.5),
    (MENDED, 0.3),
)
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGUSR1": signal.SIGUSR1}
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "no HOME": {"env": {"HOME": None}},
    "HOME that is not there": {"env": {"HOME": "/nowhere"}},
    "no PATH": {"env": {"PATH": None}},
    "C locale": {"env": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}},
    "no TERM": {"env": {"TERM": None, "COLUMNS": None}},
    "dumb terminal of 1 column": {"env": {"TERM": "dumb", "COLUMNS": "1"}},
    "TMPDIR that is not there": {"env": {"TMPDIR": "/nowhere"}},
    "64 open files": {"limits": {"RLIMIT_NOFILE": 64}},
    "2 GiB of address space": {"limits": {"RLIMIT_AS": 2 << 30}},
    "stdout closed": {"closed": (1,)},
    "stderr closed": {"closed": (2,)},
    "both closed": {"closed": (1, 2)},
    "stdout full": {"out": "/dev/full"},
    "other time zone": {"env": {"TZ": "Pacific/Kiritimati"}},
    "hash seed": {"env": {"PYTHONHASHSEED": "7"}},
    "warnings are errors off": {"env": {"PYTHONWARNINGS": "ignore"}},
    "proxy": {"env": {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}},
    "CI": {"env": {"CI": "true"}},
    "SLURM_NTASKS that is no number": {"env": {"SLURM_JOB_ID": "x", "SLURM_NTASKS": "x"}},
    "LOCAL_RANK of another": {"env": {"LOCAL_RANK": "1"}},
    "WORLD_SIZE that is no number": {"env": {"WORLD_SIZE": "x", "SLURM_RESTART_COUNT": "x"}},
    "no threads": {"env": {"OMP_NUM_THREADS": "x"}},
}
ELSEWHERE = (
    PREDICTED,
    PREPARED,
    EVALUATED,
    TRAINED,
    BUNDLED,
    RENAMED,
    CLEARED,
    SPLIT,
    IMPORTED,
    STORED,
    CHECKED,
    REPORTED,
    VALIDATED,
)


def kills(rng: random.Random) -> Iterator[Trial]:
    """Signals at random times; the same command, given again until it ends, leaves the undisturbed state."""
    for scene, lasts_s in KILLED:
        for name, number in SIGNALS.items():
            for _ in range(5 if name == "SIGKILL" else 2):
                at = round(rng.uniform(0.02, 1.1) * lasts_s, 3)
                how = {"kill_s": at, "kill_by": int(number)}
                yield Trial("kill", f"{name} after {at} s", scene, _nothing, how=how, play=killed)


def killed(stage: Stage, trial: Trial) -> Ended:
    """Kill the command, then run it to its end; what a kill leaves behind is noted."""
    before = snapshot(stage.at)
    first = trial.scene.run(stage, **trial.how)
    if first.code in (0, 2) or "Traceback" in first.err:
        return first
    notes = []
    if first.code not in (128 + trial.how["kill_by"], -trial.how["kill_by"]):
        notes.append(f"poor: exit code {first.code} after {signal.Signals(trial.how['kill_by']).name}")
    again = trial.scene.run(stage)
    if again.code == 2 and "exists" in again.err and "--overwrite" in again.err:
        again = replace(trial.scene, command=(*trial.scene.command, "--overwrite")).run(stage)
    left = [name for name in snapshot(stage.at).keys() - before.keys() if TEMPORARY.search(name)]
    if left and again.code == 0:
        notes.append(f"poor: left behind: {left[0]}")
    if again.code != 0:
        words = again.err.strip().splitlines() or [""]
        notes.append(f"poor: the same command ends with {again.code}: {words[-1][:200]}")
    return replace(again, notes=tuple(notes))


def together(rng: random.Random) -> Iterator[Trial]:
    """Two commands that write one place at the same time: one is refused, or both are right."""
    for scene in (
        PREPARED,
        MENDED,
        TRAINED,
        CONTINUED,
        PREDICTED,
        RENAMED,
        CLEARED,
        CLEARED_RUN,
        BUNDLED,
        STORED,
        IMPORTED,
        EVALUATED,
        REPORTED,
        SPLIT,
    ):
        for after in (0.0, 0.05, 0.2):
            yield Trial("together", f"the same twice, {after} s apart", scene, _nothing, play=_Pair(scene, after))
    other = replace(PREDICTED, command=tuple(word for word in PREDICTED.command if word != "--no-mirror"))
    for after in (0.0, 0.02, 0.05, 0.1, 0.2):
        yield Trial(
            "together", f"predict in another way, {after} s apart", PREDICTED, _nothing, play=_Pair(other, after)
        )
        brats = replace(RENAMED, command=(*RENAMED.command[:4], "brats2021", *RENAMED.command[5:]))
        yield Trial(
            "together", f"convert to other labels, {after} s apart", RENAMED, _nothing, play=_Pair(brats, after)
        )
        wide = replace(TRAINED, command=(*TRAINED.command, "trainer.max_epochs=1"))
        yield Trial("together", f"train for less, {after} s apart", TRAINED, _nothing, play=_Pair(wide, after))


class _Pair:
    """Runs a second command beside that of a trial.

    Args:
        second: the other command.
        after_s: when it starts.
    """

    def __init__(self, second: Scene, after_s: float) -> None:
        self.second, self.after_s = second, after_s

    def __call__(self, stage: Stage, trial: Trial) -> Ended:
        same = self.second.command == trial.scene.command
        runs = [
            stage.prepared(trial.scene.command, forbidden=trial.scene.forbidden),
            stage.prepared(self.second.command, forbidden=trial.scene.forbidden, after_s=self.after_s),
        ]
        first, second = stage.run(runs)
        winner, loser = (first, second) if first.code == 0 else (second, first)
        notes = []
        if "Traceback" in loser.err:
            notes.append(f"traceback: {loser.err.strip().splitlines()[-1][:200]}")
        elif loser.code not in (0, 1, 2, 3):
            notes.append(f"traceback: exit code {loser.code} of the other one")
        if winner.code == 0 and winner is second and not same:
            winner = loser  # its own output is judged apart: here the first one has to say that it was refused
        if not same and first.code == second.code == 0:
            notes.append("silent: both end with 0, and there is one place")
        return replace(winner, notes=tuple(notes), deeds=first.deeds + second.deeds)


def environments(rng: random.Random) -> Iterator[Trial]:
    """Processes that lack something; a part of them in new interpreters."""
    for scene in ELSEWHERE:
        for name, how in ENVIRONMENTS.items():
            fresh = name in {
                "no HOME",
                "C locale",
                "64 open files",
                "2 GiB of address space",
                "no PATH",
                "stdout closed",
                "hash seed",
            } and scene in (PREDICTED, EVALUATED, TRAINED, PREPARED)
            yield Trial("environment", name, scene, _nothing, how={**how, "fresh": fresh})
    for scene, mib in product((PREDICTED, TRAINED, EVALUATED), (2048, 1792, 1536, 1280, 1024, 896, 768, 640, 512)):
        how = {"limits": {"RLIMIT_AS": mib << 20}, "fresh": True}
        yield Trial("environment", f"{mib} MiB of address space", scene, _nothing, how=how)
    for scene in (PREDICTED, PREPARED, TRAINED, EVALUATED):
        limit = {"limits": {"RLIMIT_AS": 1100 << 20}}
        yield Trial("environment", "1.1 GB of address space", scene, _nothing, how=limit)
        yield Trial("environment", "8 open files", scene, _nothing, how={"limits": {"RLIMIT_NOFILE": 8}})
        yield Trial("environment", "16 open files", scene, _nothing, how={"limits": {"RLIMIT_NOFILE": 16}})


def command_lines(rng: random.Random) -> Iterator[Trial]:
    """Values on the command line that cannot be; wrong overrides have tests of their own in tests/settings."""
    values = (
        "",
        " ",
        "nowhere",
        "/dev/null",
        "a\x1b[31mb",
        "[/b]",
        "../../x",
        "\udcff",
        "-1",
        "nan",
        "1e999",
        "a" * 5000,
        "$(touch pwned)",
        "%s",
    )
    places = {
        PREDICTED: ("--input", "--run", "--variant", "--convention", "--step", "--window-batch"),
        EVALUATED: (
            "--predictions",
            "--labels",
            "--convention",
            "--prediction-convention",
            "--definition",
            "--surface-tolerance",
            "--workers",
        ),
        RENAMED: ("--from", "--to"),
        CLEARED: ("--predictions", "--convention", "--choice"),
        IMPORTED: ("--plans", "--checkpoint"),
        BUNDLED: ("--variant",),
    }
    for scene, options in places.items():
        for option in options:
            for value in values:
                line = list(scene.command)
                if option in line:
                    line[line.index(option) + 1] = value
                else:
                    line += [option, value]
                one = replace(scene, command=tuple(line))
                yield Trial(
                    "command line", f"{option} {value[:20]!r}", one, _nothing, (), right="any", why="it may be a value"
                )
    for setting in (
        "paths.ped",
        "paths.store",
        "fold",
        "run_name",
        "paths.runs",
        "init.run",
        "seed",
        "folds",
        "experiment",
        "data.patch_size",
    ):
        for value in values:
            one = replace(TRAINED, command=(*TRAINED.command, f"{setting}={value}"), writes=("*",))
            yield Trial(
                "command line", f"{setting}={value[:20]!r}", one, _nothing, (), right="any", why="it may be a value"
            )


def _nothing(at: Path) -> None:
    del at
