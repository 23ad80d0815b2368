"""Try damaged inputs on the commands and print the verdicts: ``python -m tests.faults --trials 1500 --seed 0``."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from rich.progress import track

from pedseg.arguments import natural, positive
from pedseg.hardware import describe_machine
from tests.faults.inputs import table as inputs_table
from tests.faults.stage import ROOT, Stage
from tests.faults.trial import ALLOWED, Outcome, Verdict
from tests.faults.trials import Bench, sampled, worst_first
from tests.faults.world import build

TICK = str.maketrans("`", " ")
BESIDE = "## Inputs that people have reported"
INPUTS_TEXT = (
    "Forty-one kinds of small inputs, made from formulas, whole, on the real commands "
    "(`python -m pytest tests/faults/test_inputs.py`; skipped where the generator is absent). Right: exit code 0 "
    "and the right voxels or scores. Refused: a message with file and remedy, and nothing is written."
)
MEASURED = "## In little room"
HEADING = "# Faults\n\nDamaged, hostile and unlucky inputs, tried on the real commands (`python -m tests.faults`)."


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    p.add_argument("--trials", type=positive, default=1500, metavar="N")
    p.add_argument("--seed", type=natural, default=0)
    p.add_argument("--only", nargs="+", default=[], metavar="FAMILY")
    p.add_argument("--match", default="", metavar="TEXT", help="only trials with this in their name")
    p.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes, each with a world of its own")
    p.add_argument("--part", type=natural, default=0, help=argparse.SUPPRESS)
    p.add_argument(
        "--work", type=Path, default=Path("faults"), metavar="DIR", help="where trials run (default: faults)"
    )
    p.add_argument(
        "--known", nargs="+", type=Path, default=[], metavar="JSONL",
        help="outcomes of other states of the code: what was right is not tried again",
    )  # fmt: skip
    p.add_argument("--output", type=Path, metavar="MD", help="page to write")
    p.add_argument("--keep", action="store_true", help="keep the worlds that are there")
    return p


def main() -> int:
    """Run what has not been run at this state of the code, write the table, and return 1 if a trial failed."""
    given = parser().parse_args()
    if given.jobs > 1 and not given.part:
        parts = [[sys.executable, "-m", "tests.faults", *sys.argv[1:], "--part", str(n + 1)] for n in range(given.jobs)]
        for process in [subprocess.Popen(part) for part in parts]:
            process.wait()
        outcomes = [one for n in range(given.jobs) for one in _read(_results(given, part=n + 1))]
    else:
        outcomes = try_part(given)
    if given.output and not given.part:
        given.output.write_text(page(outcomes, seed=given.seed) + kept(given.output))
    return int(any(outcome.verdict not in ALLOWED for outcome in outcomes))


def try_part(given: argparse.Namespace) -> list[Outcome]:
    """Run the trials of one process, those first that no file has an outcome of; they are kept as they come."""
    results = _results(given, part=given.part)
    earlier = [one for path in given.known for one in _read(path) if one.verdict in ALLOWED]
    known = {one.key: one for one in (*earlier, *_read(results))}
    with Stage(results.parent) as stage:
        if not (given.keep and stage.world.exists()):
            build(stage)
        bench = Bench(stage)
        whole = sampled(stage.world, count=given.trials, seed=given.seed, only=given.only)
        mine = whole[given.part - 1 :: given.jobs] if given.part else whole
        trials = [one for one in mine if given.match in one.key]
        written = {one.key for one in _read(results)}
        with results.open("a") as file:
            for trial in track(trials, description="trying", disable=given.part > 1):
                outcome = known.get(trial.key) or bench.run(trial, state=state())
                if trial.key not in written:
                    file.write(json.dumps(asdict(outcome)) + "\n")
                    file.flush()
    wanted = {trial.key for trial in trials}
    return [one for one in _read(results) if one.key in wanted]


def _results(given: argparse.Namespace, *, part: int) -> Path:
    folder = given.work / str(part) if part else given.work
    return Path(folder) / f"results-{state()}-{given.seed}.jsonl"


def table(outcomes: list[Outcome]) -> str:
    """Verdicts by family, as Markdown."""
    verdicts = [verdict.value for verdict in Verdict]
    lines = [f"| family | trials | {' | '.join(verdicts)} |", f"|---|{'---:|' * (len(verdicts) + 1)}"]
    counts = Counter((outcome.family, outcome.verdict.value) for outcome in outcomes)
    for family in dict.fromkeys(outcome.family for outcome in outcomes):
        own = [counts[family, verdict] for verdict in verdicts]
        lines.append(f"| {family} | {sum(own)} | {' | '.join(map(str, own))} |")
    whole = [sum(counts[family, verdict] for family in {o.family for o in outcomes}) for verdict in verdicts]
    return "\n".join([*lines, f"| all | {sum(whole)} | {' | '.join(map(str, whole))} |"])


def page(outcomes: list[Outcome], *, seed: int) -> str:
    """The table with where and when it was made, and what nothing could have told."""
    states = Counter(outcome.state for outcome in outcomes)
    commits = ", ".join(f"{count} trials at commit {one}" for one, count in states.most_common())
    when = f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {describe_machine()}; {commits}"
    named = Counter((outcome.family, outcome.detail) for outcome in outcomes if outcome.verdict is Verdict.NAMED)
    reasons = "\n".join(f"- {family}, {count}: {why}" for (family, why), count in sorted(named.items()))
    parts = [
        f"{HEADING}\n\n{when}.\n\n{table(outcomes)}",
        f"## Damage that nothing tells from a right input\n\n{reasons}",
    ]
    if failed := [outcome for outcome in worst_first(outcomes) if outcome.verdict not in ALLOWED]:
        lines = (f"- {one.verdict}: `{printable(one.key.translate(TICK))}`" for one in failed)
        parts.append("## Failed\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def kept(path: Path) -> str:
    """What a page says beside the trials, which is written by hand but for the table of inputs."""
    _, found, rest = (path.read_text() if path.exists() else "").partition(BESIDE)
    _, measured, by_hand = rest.partition(MEASURED)
    inputs = f"\n{BESIDE}\n\n{INPUTS_TEXT}\n\n{inputs_table()}\n" if found else ""
    return inputs + (f"\n{MEASURED}{by_hand}" if measured else "")


@cache
def state() -> str:
    """Short name of the code's state; that of the commit and the time of the last change where there are any."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    dirty = subprocess.run([*git, "status", "--short"], capture_output=True, text=True, check=True).stdout
    return f"{commit}-{int(time.time())}" if dirty else commit


def printable(text: str) -> str:
    """A text that does nothing to a terminal."""
    return text.encode("unicode_escape", "surrogatepass").decode() if not text.isprintable() else text


def _read(path: Path) -> list[Outcome]:
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Outcome(**{**row, "verdict": Verdict(row["verdict"])}) for row in rows]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
