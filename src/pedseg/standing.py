"""Where runs stand: finished, running, stopped, failed or not begun, and how far each is."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pedseg.errors import PedsegError, StoppedEarlyError
from pedseg.files import write_json
from pedseg.locks import writer_of
from pedseg.runs import RunFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import read_stored
from pedseg.signals import Stopped


class State(StrEnum):
    """What has become of a run."""

    FINISHED = "finished"
    RUNNING = "running"
    STOPPED = "stopped"  # by a signal or a limit, or killed: its command continues it
    FAILED = "failed"
    NOT_BEGUN = "not begun"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands.

    Attributes:
        run: its folder.
        state: what has become of it.
        epochs: that are done.
        of: epochs that it has; None for an imported run.
        left_s: seconds of training that are left at its last pace; None where that is not known, or nothing is left.
        variants: that are finished.
        text: who writes it, or why it has ended.
    """

    run: Path
    state: State
    epochs: int = 0
    of: int | None = None
    left_s: float | None = None
    variants: Sequence[str] = ()
    text: str = ""


@contextmanager
def told_its_end(folder: RunFolder) -> Iterator[None]:
    """Leave word in a run's folder of how this block has ended, unless it ended well or the run was not begun."""
    folder.ended.unlink(missing_ok=True)
    try:
        yield
    except (Stopped, StoppedEarlyError) as stopped:
        signal = f"by {stopped.signal.name}" if isinstance(stopped, Stopped) else str(stopped)
        _tell(folder, State.STOPPED, signal)
        raise
    except Exception as error:
        _tell(
            folder, State.FAILED, str(error) if isinstance(error, PedsegError) else f"{type(error).__name__}: {error}"
        )
        raise


def _tell(folder: RunFolder, state: State, why: str) -> None:
    if folder.config.exists() and not folder.finished.exists():
        at = datetime.now(tz=UTC).isoformat(timespec="seconds")
        write_json(folder.ended, {"state": state, "why": why, "at": at})


def runs_below(folders: Sequence[Path]) -> list[Path]:
    """Every run in these folders, themselves included.

    Raises:
        PedsegError: a folder has none.
    """
    found = []
    for folder in folders:
        own = sorted({path.parent for path in (*folder.glob("config.json"), *folder.rglob("fold_*/config.json"))})
        if not own:
            raise PedsegError(
                f"{folder}: no fold_*/config.json in it; give the folder of runs, such as runs or runs/uda"
            )
        found += own
    return list(dict.fromkeys(found))


def standing_of(run: Path) -> Standing:
    """Where a run stands; what cannot be read of it is said in its text."""
    folder = RunFolder(run)
    if not folder.config.exists():
        return Standing(run, State.NOT_BEGUN)
    try:
        settings = read_stored(run)
    except PedsegError as error:
        return Standing(run, State.FAILED, text=str(error).replace("\n", " "))
    state, text = _state(folder)
    variants = [one.name for one in folder.variants() if one.finished.exists()]
    if not isinstance(settings, RunSettings):
        return Standing(run, state, variants=variants, text=text or "imported")
    done, pace = _progress(folder.metrics)
    of = settings.trainer.max_epochs
    done = of if folder.finished.exists() else done
    left = pace * (of - done) if pace is not None and done < of else None
    return Standing(run, state, done, of, left, variants, text)


def _state(folder: RunFolder) -> tuple[State, str]:
    """What has become of a run that was begun, and who writes it or why it has ended."""
    writer = writer_of(folder.path)
    if writer is not None and writer.writes:
        return State.RUNNING, writer.who.process
    if folder.finished.exists():
        return State.FINISHED, ""
    if writer is not None:
        return State.STOPPED, f"{writer.who.process} is gone; the same command continues"
    try:
        told = json.loads(folder.ended.read_text(encoding="utf-8"))
        return State(told["state"]), str(told["why"])
    except (OSError, ValueError, KeyError, TypeError):
        return State.STOPPED, "no word of why; the same command continues"


def _progress(curves: Path) -> tuple[int, float | None]:
    """Epochs in training curves, and seconds of the last one's steps."""
    try:
        with curves.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("time/step")]
        done = [int(float(row["epoch"])) + 1 for row in rows]
        steps = [int(float(row["step"])) + 1 for row in rows]
        seconds = [float(row["time/step"]) + float(row["time/data"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return 0, None
    if not rows:
        return 0, None
    return done[-1], seconds[-1] * steps[-1] / done[-1]


def duration(seconds: float) -> str:
    """Write seconds as the largest two units that fit."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
