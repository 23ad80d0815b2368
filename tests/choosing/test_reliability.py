"""Reliability and ECE by hand, and the figure."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from pedseg.choosing.reliability import BINS, LEAST, binned, reliability
from pedseg.files import write_json
from pedseg.reporting.figures.reliability import draw_reliability
from pedseg.runs import RunFolder


def drawn(*, wrong: float = 0.0, number: int = 200_000) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Logits, and truth that is as likely as they say but for `wrong` more."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98 - wrong, number)
    return logit(p), rng.random(number) < p + wrong


def test_probabilities_that_mean_what_they_say_have_no_error() -> None:
    case = np.stack([binned(*drawn())] * 3)
    rows = reliability([case])
    assert len(rows) == 3 * BINS
    assert rows[0]["ece"] == pytest.approx(0, abs=0.005)
    wrong = reliability([np.stack([binned(*drawn(wrong=0.2))] * 3)])
    assert wrong[0]["ece"] == pytest.approx(0.2, abs=0.005)
    for row in wrong[:BINS]:
        if row["weight"]:
            assert row["low"] <= row["probability"] <= row["high"]  # type: ignore[operator]


def test_by_hand() -> None:
    probabilities = np.array([0.5, 0.52, 0.95, LEAST / 2, 1.0])
    found = binned(np.append(logit(probabilities[:-1]), 99.0), np.array([True, False, True, True, False]))
    assert found[0].sum() == pytest.approx(1)  # of four voxels: one is surely nothing
    place = int(0.52 * BINS)
    assert found[:, place] == pytest.approx([2 / 4, 1.02 / 4, 1 / 4])
    assert found[:, -1] == pytest.approx([2 / 4, 1.95 / 4, 1 / 4])
    rows = reliability([np.stack([found] * 3)])
    assert rows[0]["ece"] == pytest.approx((0.02 + 0.95) / 4)


def test_every_case_weighs_the_same_and_an_empty_one_nothing() -> None:
    many, few = binned(np.full(1000, 3.0), np.ones(1000, bool)), binned(np.full(10, 3.0), np.zeros(10, bool))
    nothing = binned(np.full(10, -30.0), np.zeros(10, bool))
    rows = reliability([np.stack([case] * 3) for case in (many, few, nothing)])
    last = rows[int(expit(3.0) * BINS)]
    assert last["truth"] == pytest.approx(0.5)
    assert last["weight"] == pytest.approx(1)
    assert reliability([np.stack([nothing] * 3)])[0]["ece"] is None
    assert reliability([]) == []


REST = {"settings": {"target": []}, "target_labels": False, "scores": {}}


def test_the_figure_lies_beside_the_scores(tmp_path: Path) -> None:
    place = RunFolder(tmp_path / "fold_0").variant("plain")
    rows = reliability([np.stack([binned(*drawn(number=500))] * 3)])
    json.dumps(rows, allow_nan=False)
    write_json(place.validators, REST | {"details": {"reliability": rows}, "synthetic": True})
    picture = draw_reliability(place)
    assert picture is not None
    assert "SYNTHETIC" in picture.caption
    assert {path.suffix for path in place.path.glob("reliability.*")} == {".csv", ".svg", ".pdf", ".png"}
    assert draw_reliability(place) is None  # it is there
    nothing = reliability([np.zeros((3, 3, BINS))])
    write_json(place.validators, REST | {"details": {"reliability": nothing}, "synthetic": False})
    place.reliability.unlink()
    assert draw_reliability(place) is not None  # says so
    write_json(place.validators, REST | {"details": {}, "synthetic": True})
    place.reliability.unlink()
    assert draw_reliability(place) is None  # no source case was held out
