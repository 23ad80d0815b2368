"""Curves of assumed shares, from the files beside variants to the picture."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pedseg.errors import PedsegError
from pedseg.reporting.figures.sensitivity import sensitivity_figure
from pedseg.reporting.rows import Model
from pedseg.reporting.sensitivity import NEEDED, assumed_shares
from pedseg.runs import RunFolder


def model(folder: Path, name: str, text: str) -> Model:
    """A model with such a file."""
    run = RunFolder(folder / name / "fold_0")
    place = run.variant("calibrated")
    place.path.mkdir(parents=True)
    (place.path / "variant.json").write_text("{}")
    place.sensitivity.write_text(text)
    return Model(name, pd.DataFrame(), (run,), variant="calibrated")


def curve(*, dice: str = "", parts: tuple[str, ...] = ("tc",)) -> str:
    rows = [f"{part},{share},{1 - share},{share},{share / 2},{share},{dice}" for part in parts for share in (0.2, 0.8)]
    return "\n".join([",".join(NEEDED), *rows, ""])


def test_curves_of_all_models(tmp_path: Path) -> None:
    models = [model(tmp_path, "one", curve()), model(tmp_path, "two", curve(dice="0.5", parts=("tc", "et")))]
    table = assumed_shares([*models, Model("of a CSV", pd.DataFrame())])
    assert table.groupby(["model", "region"]).size().to_dict() == {("one", "tc"): 2, ("two", "tc"): 2, ("two", "et"): 2}
    figure = sensitivity_figure(table, title="SYNTHETIC data")
    assert len(figure.axes) == 4
    assert [list(np.asarray(line.get_ydata())) for line in figure.axes[3].lines] == [[0.5, 0.5]] * 2
    assert len(sensitivity_figure(assumed_shares(models[:1])).axes) == 1


def test_none_and_empty_ones(tmp_path: Path) -> None:
    assert assumed_shares([]).empty
    assert assumed_shares([model(tmp_path, "nothing", ",".join(NEEDED) + "\n")]).empty


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_a_damaged_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(PedsegError, match=r"sensitivity\.csv: is no curve of a calibration"):
        assumed_shares([model(tmp_path, "one", text)])
