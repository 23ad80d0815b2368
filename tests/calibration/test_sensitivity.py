"""The curve of assumed shares against the voxels themselves."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from pedseg.calibration.counts import AROUND, SourceCounts
from pedseg.calibration.sensitivity import ASSUMED, Scored, write_curve
from pedseg.labels import Region
from tests.calibration.populations import calibrated, case

TRUE = (0.5, 0.7, 0.9)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_share_over_cases(tmp_path: Path) -> None:
    calibration = calibrated({"shares": {"tc": 0.9}}, [], TRUE)
    write_curve(tmp_path / "curve.csv", calibration)
    found = rows(tmp_path / "curve.csv")
    assert [float(row["assumed"]) for row in found] == list(ASSUMED)
    for row in found:
        shares = [
            float((case(true, 1000 + i)[0][1] > float(row["threshold"])).float().mean()) for i, true in enumerate(TRUE)
        ]
        assert float(row["share"]) == pytest.approx(np.mean(shares), abs=0.01)
        assert float(row["share"]) == pytest.approx(float(row["assumed"]), abs=0.001)
        assert (float(row["low"]), float(row["high"])) == pytest.approx(
            tuple(np.quantile(shares, [0.25, 0.75])), abs=0.01
        )
        assert row["dice"] == ""


def test_the_dice_where_there_are_labels(tmp_path: Path) -> None:
    """Of voxels that the network gives to WT and of those it misses, which count as missed."""
    calibration = calibrated({"calibration": "estimated"}, [0.3] * 5, TRUE)
    counts, volumes, cases = SourceCounts(4, {Region.TC: AROUND[Region.TC]}), np.zeros((4, 3)), []
    for index, true in enumerate((0.4, 0.8, 0.9, 0.0)):
        logits, label = case(true, 50 + index)
        logits[0, :40] = -1
        if true == 0:
            logits[:] = -40  # found by nobody, and nothing is there
        counts.count(index, logits, label)
        volumes[index] = label.sum((1, 2, 3))
        cases.append((logits, label))
    write_curve(tmp_path / "curve.csv", calibration, Scored(counts, volumes))
    dice = []
    for row in rows(tmp_path / "curve.csv"):
        masks = [((x[0] > 0) & (x[1] > float(row["threshold"])), y[1]) for x, y in cases]
        each = [1.0 if not (a.any() or b.any()) else float(2 * (a & b).sum() / (a.sum() + b.sum())) for a, b in masks]
        assert float(row["dice"]) == pytest.approx(np.mean(each), abs=0.01)
        dice.append(float(row["dice"]))
    best = ASSUMED[int(np.argmax(dice))]
    assert 0.6 < best < 0.95
    assert min(dice[0], dice[-1]) < max(dice)


def test_without_tumour_it_has_no_rows(tmp_path: Path) -> None:
    calibration = calibrated({"shares": {"tc": 0.9}}, [], [0.5])
    calibration.target.values = torch.zeros_like(calibration.target.values)
    write_curve(tmp_path / "curve.csv", calibration)
    assert rows(tmp_path / "curve.csv") == []
