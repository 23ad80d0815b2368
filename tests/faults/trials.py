"""All families, and the running of some of their trials."""

import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.faults.families import images, places, processes
from tests.faults.families.descriptions import Descriptions
from tests.faults.stage import Stage
from tests.faults.trial import Outcome, Trial, Verdict
from tests.faults.verdict import Reference, judge, snapshot
from tests.faults.world import SCENES, reference

Family = Callable[[random.Random], Iterator[Trial]]


def families(world: Path) -> dict[str, Family]:
    """What makes the trials of each family."""
    told = Descriptions(world)
    return {
        "header": images.headers,
        "gzip": images.compression,
        "image": images.images,
        "label": images.labels,
        "record": told.records,
        "checkpoint": told.checkpoints,
        "table": told.tables,
        "bits": told.bits,
        "special file": places.special,
        "folder": places.folders,
        "output": places.outputs,
        "name": places.names,
        "kill": processes.kills,
        "together": processes.together,
        "environment": processes.environments,
        "command line": processes.command_lines,
    }


def sampled(world: Path, *, count: int, seed: int, only: Iterable[str] = ()) -> list[Trial]:
    """Trials of every family, drawn by a seed: as many of each as of the others, where it has so many."""
    chosen: list[Trial] = []
    kinds = {name: make for name, make in families(world).items() if not only or name in set(only)}
    pools = {}
    for name, make in kinds.items():
        rng = random.Random(zlib.crc32(f"{seed} {name}".encode()))
        pool = list({trial.key: trial for trial in make(rng)}.values())
        rng.shuffle(pool)
        pools[name] = pool
    for place, name in enumerate(sorted(pools, key=lambda name: len(pools[name]))):
        share = (count - len(chosen)) // (len(pools) - place)
        chosen += pools[name][:share]
    random.Random(seed).shuffle(chosen)  # a run that is cut off has tried some of each
    return chosen


class Bench:
    """Runs trials, and keeps what each scene gives when nothing is wrong.

    Args:
        stage: where they run.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._references: dict[str, Reference] = {}

    def run(self, trial: Trial, *, state: str = "") -> Outcome:
        """Set the stage, damage it, run the command and judge."""
        reference_ = self._reference(trial)
        at = self.stage.set(trial.scene.parts)
        trial.damage(at)
        before = snapshot(at)
        ended = trial.play(self.stage, trial)
        verdict, detail = judge(trial, ended, before, at, reference_)
        said = (ended.err or ended.out).strip()[-600:]
        return Outcome(
            trial.family, trial.key, verdict, detail, ended.code, ended.seconds, ended.memory_mb, said, state
        )

    def _reference(self, trial: Trial) -> Reference:
        """That of the scene, or of the one that it is a kind of."""
        own = max(
            (one for one in SCENES if f"{trial.scene.name} ".startswith(f"{one.name} ")), key=lambda one: len(one.name)
        )
        if own.name not in self._references:
            self._references[own.name] = reference(self.stage, own)
        return self._references[own.name]


def worst_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Outcomes by verdict."""
    order = list(Verdict)
    return sorted(outcomes, key=lambda outcome: (-order.index(outcome.verdict), outcome.key))
