"""Where runs stand: finished, running, stopped, failed or not begun, and how far each is."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pedseg.errors import PedsegError, StoppedEarlyError
from pedseg.files import read_json, read_text, write_json
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
        loss: mean training loss of the last epoch that is done; None if there is none.
        left_s: seconds of training that are left at its last pace; None where that is not known, or nothing is left.
        variants: that are finished.
        text: who writes it, or why it has ended.
    """

    run: Path
    state: State
    epochs: int = 0
    of: int | None = None
    loss: float | None = None
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
        with suppress(OSError):  # on a full disk the error itself is said
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
    curves, of = _curves(folder.metrics), settings.trainer.max_epochs
    done = of if folder.finished.exists() else curves.epochs
    left = curves.pace_s * (of - done) if curves.pace_s is not None and done < of else None
    return Standing(run, state, done, of, curves.loss, left, variants, text)


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
        told = read_json(folder.ended)
        return State(told["state"]), str(told["why"])
    except (PedsegError, ValueError, KeyError, TypeError):
        return State.STOPPED, "no word of why; the same command continues"


@dataclass(frozen=True, slots=True)
class Curves:
    """The end of training curves.

    Attributes:
        epochs: that are whole.
        loss: of the last.
        pace_s: seconds of its steps.
    """

    epochs: int = 0
    loss: float | None = None
    pace_s: float | None = None


def _curves(path: Path) -> Curves:
    """The end of a metrics.csv; nothing of one that is absent or damaged."""
    try:
        rows = [row for row in csv.DictReader(io.StringIO(read_text(path))) if row.get("time/step")]
        last = rows[-1]
        epochs, steps = int(float(last["epoch"])) + 1, int(float(last["step"])) + 1
        seconds = float(last["time/step"]) + float(last["time/data"])
        return Curves(epochs, float(last["train/loss"]), seconds * steps / epochs)
    except (PedsegError, ArithmeticError, IndexError, ValueError, KeyError, TypeError, csv.Error):
        return Curves()


def duration(seconds: float) -> str:
    """Write seconds as the largest two units that fit."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
