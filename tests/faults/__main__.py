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
from pathlib import Path

from rich.progress import track

from pedseg.hardware import describe_machine
from tests.faults.stage import ROOT, Stage
from tests.faults.trial import ALLOWED, Outcome, Verdict
from tests.faults.trials import Bench, sampled, worst_first
from tests.faults.world import build

TICK = str.maketrans("`", " ")
HEADING = "# Faults\n\nDamaged, hostile and unlucky inputs, tried on the real commands (`python -m tests.faults`)."


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    p.add_argument("--trials", type=int, default=1500, metavar="N")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--only", nargs="+", default=[], metavar="FAMILY")
    p.add_argument("--match", default="", metavar="TEXT", help="only trials with this in their name")
    p.add_argument(
        "--work", type=Path, default=Path("faults"), metavar="DIR", help="where trials run (default: faults)"
    )
    p.add_argument("--output", type=Path, metavar="MD", help="page to write")
    p.add_argument("--keep", action="store_true", help="keep the world that is there")
    return p


def main() -> int:
    """Run what has not been run at this state of the code, write the table, and return 1 if a trial failed."""
    given = parser().parse_args()
    with Stage(given.work) as stage:
        if not (given.keep and stage.world.exists()):
            build(stage)
        results = given.work / f"results-{state()}-{given.seed}.jsonl"
        known = {one.key: one for one in _read(results)}
        bench = Bench(stage)
        trials = [
            one
            for one in sampled(stage.world, count=given.trials, seed=given.seed, only=given.only)
            if given.match in one.key
        ]
        outcomes = []
        with results.open("a") as file:
            for trial in track(trials, description="trying"):
                outcome = known.get(trial.key) or bench.run(trial)
                outcomes.append(outcome)
                if trial.key not in known:
                    file.write(json.dumps(asdict(outcome)) + "\n")
                    file.flush()
    for outcome in worst_first(outcomes):
        if outcome.verdict in (Verdict.HARMLESS, Verdict.CLEAR):
            break
    if given.output:
        given.output.write_text(page(outcomes, seed=given.seed))
    return int(any(outcome.verdict not in ALLOWED for outcome in outcomes))


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
    when = f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {describe_machine()}"
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
