"""Write docs/exactness.md: run every comparison with a peer and put what was measured on one page.

``make exactness`` runs this. The comparisons are the tests marked `exact`; their rows say what is compared, with which
version of which peer, the tolerance and the largest difference. If a comparison fails, the old page stays; one that
could not run is on the page with the reason.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pedseg.files import write_text
from pedseg.hardware import describe_machine
from pedseg.reporting.rows import load_models
from pedseg.reporting.sizes import read_sizes, small_cases
from pedseg.reporting.tables import agreement, beside_paper, summarise
from tests.conftest import find_peers_python, reference_folder

SECTIONS = (
    "Metrics", "Network", "Preprocessing", "Training", "Prediction", "Post-processing", "Interoperation",
    "Published results",
)  # fmt: skip
BENCHMARKS = ("bench_metrics", "bench_augmentation")  # those that write their ratios as JSON
MIN_ET_MM3 = 60  # cases below are left out of the paper's Table 3
Row = dict[str, Any]

INTRODUCTION = """# Exactness

What pedseg computes, beside what others compute. Each row is a test that fails above the tolerance, so the page cannot
be better than the code. A difference is the largest over all inputs of the row.

Made by `make exactness` on {date}, {machine}. {versions}.
"""
EQUALITY = """## What "no significant difference" says

The paper compares its UDA model with the upper bound 3\\* by paired t-tests on the 77 children with ET of at least 60
mm³, and finds a difference in ET Dice only (p = 0.005 from its published scores). A large p value means that these 77
cases do not tell two models apart. It does not mean that the models are equal: with fewer cases or more spread the
same difference becomes insignificant. Two things answer the question that is meant. An equivalence test (TOST) asks
whether the mean difference is *shown* to lie within a margin that is stated beforehand (here Dice ±0.05, HD95 ±2 mm).
The bootstrap interval of the paired difference says how large the difference may still be. `pedseg report`
gives both, for every pair of models, with Wilcoxon's test (which a few HD95 of 374 mm do not rule), Holm's correction
over all comparisons, and the effect size. And the conclusion is about the models of the published runs: one training
each, so that the spread between trainings is not in it.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description="Run every comparison with a peer and write docs/exactness.md.")
    p.add_argument("--output", type=Path, default=Path("docs/exactness.md"), help="default: %(default)s")
    p.add_argument("--jobs", type=int, default=2, help="tests at a time (default: %(default)s)")
    p.add_argument("--no-speed", action="store_true", help="leave the speed ratios out")
    return p


def measure(folder: Path, *, jobs: int) -> list[Row]:
    """Run the marked tests and return their rows, one per subject and peer.

    Raises:
        SystemExit: a test failed.
    """
    output = folder / "rows.json"
    command = [sys.executable, "-m", "pytest", "-m", "exact and not gpu", "-n", str(jobs), "--exactness", str(output)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("a comparison failed: the page stays as it is")
    return merge(json.loads(output.read_text(encoding="utf-8")))


def merge(rows: Iterable[Row]) -> list[Row]:
    """Put the rows of one subject together: the largest difference, and the reason if one of them did not run."""
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        first = merged.setdefault((row["subject"], row["peer"]), row | {"test": row["test"].partition("[")[0]})
        found = [r["measured"] for r in (first, row) if r["measured"] is not None]
        first |= {"measured": max(found, default=None), "reason": first["reason"] or row["reason"]}
    return sorted(merged.values(), key=lambda row: (SECTIONS.index(row["section"]), row["test"], row["subject"]))


def benchmark(folder: Path) -> list[Row]:
    """Run the benchmarks that have a peer and return their lines."""
    lines: list[Row] = []
    for name in BENCHMARKS:
        output = folder / f"{name}.json"
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--json", str(output)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
        lines += json.loads(output.read_text(encoding="utf-8"))
    return lines


def page(rows: Sequence[Row], lines: Sequence[Row], *, peers: Path | None, reference: Path | None) -> str:
    """Compose the page."""
    parts = [
        INTRODUCTION.format(
            date=f"{datetime.now(UTC):%Y-%m-%d}", machine=describe_machine(), versions=versions(rows, peers)
        )
    ]
    for section in SECTIONS:
        inside = [row for row in rows if row["section"] == section]
        if inside:
            parts.append(f"## {section}\n\n{table(inside)}")
    if lines:
        parts.append(f"## Speed\n\n{speed_table(lines)}")
    parts += published(reference / "reference") if reference else []
    parts.append(EQUALITY)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    lines = ["| what | against | tolerance | largest difference | test |", "|---|---|---:|---:|---|"]
    for row in rows:
        unit = f" {row['unit']}" if row["unit"] else ""
        found = row["measured"]
        shown = number(found) + unit if found is not None else f"not run: {row['reason']}"
        cells = [row["subject"], row["peer"], number(row["tolerance"]) + unit, shown, f"`{row['test']}`"]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def speed_table(lines: Sequence[Row]) -> str:
    """Ratios as Markdown."""
    head = "One thread, medians of runs that take turns. The ratio is pedseg's time over the peer's: below 1 is faster."
    rows = ["| what | pedseg | peer | | ratio |", "|---|---:|---|---:|---:|"]
    for line in lines:
        times = [seconds(line[key]) for key in ("ours_s", "peer_s")]
        rows.append(f"| {line['what']} | {times[0]} | {line['peer']} | {times[1]} | {line['ratio']:.2f} |")
    return f"{head}\n\n" + "\n".join(rows)


def published(reference: Path) -> list[str]:
    """Tables 2 and 3 of the paper beside those of its per-case scores, published in the folder `reference`."""
    models = load_models([reference / "per_case"])
    small = small_cases(read_sizes([reference / "ped_tumor_sizes.csv"]), below_mm3=MIN_ET_MM3)
    tables = {2: summarise(models), 3: summarise(models, without=small)}
    parts = []
    for index, content in tables.items():
        same, total = agreement(content, number=index)
        parts.append(
            f"## Table {index}: the paper and its published per-case scores\n\n{same} of {total} printed numbers are "
            f"the same. What differs is bold.\n\n{beside_paper(content, number=index).markdown()}"
        )
    return parts


def seconds(value: float) -> str:
    """Write a time with three digits."""
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def number(value: float) -> str:
    """Write a difference: 0 where it is exactly that."""
    return "0" if value == 0 else f"{value:.2g}"


def versions(rows: Sequence[Row], peers: Path | None) -> str:
    """List the versions of this environment's packages and of the peers."""
    here = {name: version(name) for name in ("torch", "monai", "numpy", "scipy")}
    compared = {name: found for name in sorted({row["peer"] for row in rows}) if (found := _version(name, peers))}
    both = ", ".join(f"{name} {found}" for name, found in (here | compared).items())
    return f"Python {platform.python_version()}, {both}"


def _version(name: str, peers: Path | None) -> str | None:
    """Version of a distribution here or in the peers' environment; None if it is neither."""
    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        code = f"from importlib.metadata import version; print(version({name!r}))"
        found = subprocess.run([peers, "-c", code], capture_output=True, text=True, check=False) if peers else None
        return found.stdout.strip() or None if found else None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = parser().parse_args(argv)
    peers = find_peers_python()
    if peers:
        os.environ["PEDSEG_PEERS_PYTHON"] = str(peers)  # for the benchmarks
    with tempfile.TemporaryDirectory() as name:
        rows = measure(Path(name), jobs=arguments.jobs)
        lines = [] if arguments.no_speed else benchmark(Path(name))
    write_text(arguments.output, page(rows, lines, peers=peers, reference=reference_folder()))
    sys.stdout.write(f"{arguments.output}: {len(rows)} comparisons\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
