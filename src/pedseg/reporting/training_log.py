"""What a run's metrics.csv says: its curves, its end and its cost."""

import math

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.reporting.inputs import MENDED, check_numbers, read_csv
from pedseg.runs import RunFolder

SOURCE_DICE = "val/source/dice_mean"
TIMES = ("time/data", "time/step")  # mean seconds that a step waits for its batch, and computes
SECONDS = 60
MOST_STEPS = 2**40


def read_curves(run: RunFolder) -> pd.DataFrame:
    """Means of everything that was logged, a row per epoch, counted from 1.

    Raises:
        PedsegError: metrics.csv cannot be read.
    """
    curves = _read(run).groupby("epoch").mean()
    curves.index = curves.index + 1
    return curves.replace([math.inf, -math.inf], math.nan)  # a training that diverges has no place in a figure


def last_source_dice(run: RunFolder) -> float:
    """Mean Dice of the last validation on source patches; NaN if none was logged.

    Raises:
        PedsegError: metrics.csv cannot be read.
    """
    rows = _logged(run, SOURCE_DICE)
    return float(rows[SOURCE_DICE].iloc[-1]) if len(rows) else math.nan


def training_minutes(run: RunFolder) -> float:
    """Minutes of all training steps with the wait for their batches; without validation, prediction and scoring.

    Every epoch logs the means over its steps (`pedseg.callbacks.progress.StepTimer`) at the number of its last step.

    Raises:
        PedsegError: metrics.csv cannot be read.
    """
    rows = _logged(run, *TIMES, "step")
    if not len(rows):
        return math.nan
    done = rows["step"] + 1
    steps = done.diff().fillna(done)
    return float((rows[list(TIMES)].sum(axis=1) * steps).sum() / SECONDS)


def _logged(run: RunFolder, *columns: str) -> pd.DataFrame:
    """Rows, in the order of the epochs, in which all of the columns are given."""
    table = _read(run) if run.metrics.exists() else pd.DataFrame()
    if not {"epoch", *columns} <= set(table):
        return pd.DataFrame(columns=list(columns))
    return table.dropna(subset=list(columns)).sort_values("epoch", kind="stable")


def _read(run: RunFolder) -> pd.DataFrame:
    """The table as it is.

    Raises:
        PedsegError: the file is damaged, or holds something else than numbers.
    """
    table = read_csv(run.metrics, what="training curves")
    if "epoch" not in table or not len(table):
        raise PedsegError(f"{run.metrics}: holds no epoch of a training; {MENDED}")
    check_numbers(table, map(str, table), where=run.metrics)
    check_numbers(table, ("epoch", "step"), where=run.metrics, low=0, high=MOST_STEPS)
    return table.dropna(subset=["epoch"]).astype(float)
