"""Curves of assumed shares (sensitivity.csv) of every model whose thresholds are found on images."""

from collections.abc import Sequence

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.reporting.rows import Model

NEEDED = ("region", "assumed", "threshold", "share", "low", "high", "dice")
CAPTION = (
    "What other shares would have given. Each part is cut where it has the assumed share of the region around it, in "
    "the mean over the images of the target; bands are quartiles over these. Dice is of the labelled cases that "
    "`pedseg calibrate --score` was given."
)


def assumed_shares(models: Sequence[Model]) -> pd.DataFrame:
    """Curves of all models, each of its first run that has one: `NEEDED` and the model; empty if none has.

    Raises:
        PedsegError: a file is damaged.
    """
    tables = [pd.DataFrame(columns=["model", *NEEDED])]
    for model in models:
        path = next((place.sensitivity for place in model.places if place.sensitivity.exists()), None)
        if path is not None:
            try:
                tables.append(pd.read_csv(path, dtype={"region": str})[list(NEEDED)].assign(model=model.name))
            except (ValueError, KeyError) as error:
                raise PedsegError(f"{path}: is no curve of a calibration ({error}); remove it") from error
    found = [table for table in tables if len(table)]
    return pd.concat(found, ignore_index=True) if found else tables[0]
