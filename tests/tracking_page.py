"""Write docs/tracking.md: what trackers are told, with a table read from the offline records of a real run.

``make tracking`` runs this, in minutes: synthetic cohorts are made, and a run is trained, predicted in another way,
calibrated and validated; nothing leaves the machine.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pedseg.files import write_text
from pedseg.hardware import describe_machine
from pedseg.runs import RunFolder
from tests.training import arguments
from tests.wandb_records import history_of, run_of, sessions, summary_of

PAGE = Path(__file__).parents[1] / "docs" / "tracking.md"
HIDDEN = ("_", "trainer/", "adversary/panel_table")  # W&B's own, and what a chart is drawn from
MEANINGS = {  # in the order of the page; the first that a name begins with tells
    "test/": "mean over the held-out target cases that have a label, of each variant",
    "validator/": "score without labels of the target, the higher the better",
    "calibration/": "threshold that was found, as a logit",
    "best/": "best value of a curve; the last checkpoint is used, whatever is best",
    "last/": "last value of a curve",
    "adversary/": "health of the adversary; beside it the chart `adversary/panel` and alerts",
    "train/": "curve over epochs",
    "val/": "curve over epochs, of held-out source patches",
    "time/": "seconds that a step waits for data, and takes",
    "epoch": "the axis of all curves, from 0",
    "cases/": "table of cases, only with `callbacks.images=true`",
}


def main() -> None:
    """Make the run and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        records = sessions(make_run(Path(folder)).path)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- table -->")
    _, _, after = rest.partition("<!-- end -->")
    write_text(PAGE, f"{before}<!-- table -->\n{page(records)}\n<!-- end -->{after}")


def make_run(folder: Path) -> RunFolder:
    """A toy run on synthetic cohorts, in a plain way and two others, validated."""
    world, runs = folder / "world", folder / "runs"
    paths = [f"paths.{name}={world / name}" for name in ("adult", "ped", "store")]
    pedseg("phantom", "--output", world, "--adults", 6, "--children", 6, "--spacing", 8, "--workers", 1)
    pedseg("prepare", "scale=toy", *paths, "workers=1")
    more = ["logger=wandb", "logger.offline=true", "trainer.max_epochs=3"]
    pedseg("train", *arguments(world, runs, "experiment=uda", "variant=[plain,core]", *more))
    run = next(runs.glob("uda/*/fold_0"))
    pedseg("predict", "--run", run, "--variant", "tent")
    pedseg("calibrate", "--run", run, "--input", world / "ped", "--no-mirror")
    pedseg("validate", run)
    return RunFolder(run)


def pedseg(*words: object) -> None:
    """Run a command.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "pedseg", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def page(records: list[list[Any]]) -> str:
    """What the records of a run hold."""
    run = run_of(records[0])
    about = (
        f"`{run.display_name}`, group `{run.run_group}`, job type `{run.job_type}`, tags {', '.join(run.tags)}; notes: "
        f"“{run.notes}”. {len(records)} sessions went into the one record: the training, a "
        "variant, a calibration and a validation."
    )
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    made = (
        f"Made by `make tracking` on {when}, {describe_machine()}. **Data are synthetic, and three epochs of two steps "
        "teach a network nothing: the values only show where they stand.**"
    )
    return "\n".join([made, "", about, "", *table(merged(records), points(records))])


def merged(records: Iterable[list[Any]]) -> dict[str, Any]:
    """The summary after every session."""
    return {name: value for session in records for name, value in summary_of(session).items()}


def points(records: Iterable[list[Any]]) -> dict[str, int]:
    """Number of points in the curve of each name."""
    names = [name for session in records for row in history_of(session) for name in row]
    return {name: names.count(name) for name in names}


def table(summary: Mapping[str, Any], curves: Mapping[str, int]) -> list[str]:
    """Rows of the page, in the order of `MEANINGS`."""
    order = list(MEANINGS)
    shown = sorted((order.index(meaning(name)), name) for name in summary if not name.startswith(HIDDEN))
    rows = ["| name | last value | points | what it is |", "|---|---:|---:|---|"]
    before = ""
    for place, name in shown:
        text = MEANINGS[order[place]] if order[place] != before else ""
        before = order[place]
        rows.append(f"| `{name}` | {value_of(summary[name])} | {curves.get(name, 0)} | {text} |")
    return rows


def meaning(name: str) -> str:
    """The beginning of a name that tells what it is.

    Raises:
        ValueError: nothing does.
    """
    for beginning in MEANINGS:
        if name.startswith(beginning):
            return beginning
    raise ValueError(f"{name} has no meaning in MEANINGS; say what it is")


def value_of(value: object) -> str:
    """A value in a few digits."""
    return f"{value:.4g}" if isinstance(value, int | float) else "table"


if __name__ == "__main__":
    main()
