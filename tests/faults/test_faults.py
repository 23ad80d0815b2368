"""The verdicts on faults tell what they are to tell; ``make faults`` tries the families."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.faults.stage import Stage
from tests.faults.trial import ALLOWED, Scene, Trial, Verdict
from tests.faults.trials import Bench, sampled
from tests.faults.world import CASE, EVALUATED, PREDICTED, build, spoil


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Stage(tmp_path_factory.mktemp("faults")) as stage:
        build(stage)
        yield Bench(stage)


def write(name: str, content: bytes, at: Path) -> None:
    spoil(at / name, content)


def trial(scene: Scene, name: str, content: bytes) -> Trial:
    return Trial("example", name, scene, partial(write, name, content), blame=(name.rpartition("/")[2],))


def test_what_is_not_looked_at_is_harmless_and_what_is_damaged_is_refused(bench: Bench) -> None:
    assert bench.run(trial(EVALUATED, "notes.txt", b"mine")).verdict is Verdict.HARMLESS
    assert bench.run(trial(EVALUATED, f"labels/{CASE}.nii.gz", b"no image")).verdict is Verdict.CLEAR
    assert bench.run(trial(PREDICTED, f"cases/{CASE}/{CASE}-t1c.nii.gz", b"")).verdict is Verdict.CLEAR


def test_verdicts_tell_what_is_wrong(bench: Bench) -> None:
    """Commands that do nothing, or something else, or elsewhere, are found out."""
    elsewhere = replace(EVALUATED, writes=())
    assert bench.run(trial(elsewhere, "notes.txt", b"")).verdict is Verdict.BREACH
    nothing = replace(EVALUATED, command=("--help",))
    assert bench.run(trial(nothing, "notes.txt", b"")).verdict is Verdict.SILENT
    blamed = replace(trial(EVALUATED, f"labels/{CASE}.nii.gz", b"no image"), blame=("another name",))
    assert bench.run(blamed).verdict is Verdict.POOR
    over = replace(EVALUATED, command=(*EVALUATED.command, "--overwrite"))
    assert bench.run(trial(over, "scores.csv", b"mine")).verdict is Verdict.LOST
    crash = replace(EVALUATED, command=("evaluate", "--workers", "1"))
    late = replace(trial(crash, "notes.txt", b""), how={"kill_s": 0.0, "kill_by": 9})
    assert bench.run(late).verdict is Verdict.TRACEBACK
    assert Verdict.TRACEBACK not in ALLOWED


def test_a_few_of_all_families(bench: Bench) -> None:
    """One trial of each; `make faults` tries 1,500."""
    outcomes = [bench.run(one) for one in sampled(bench.stage.world, count=16, seed=3)]
    assert {one.key: (one.verdict, one.detail) for one in outcomes if one.verdict not in ALLOWED} == {}
    assert len({one.family for one in outcomes}) == 16
