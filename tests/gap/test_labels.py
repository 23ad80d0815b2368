"""What a model is worth in labels, on made-up scores whose numbers are known by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pedseg.gap.benchmark import load_benchmark
from pedseg.gap.labels import as_many, few_dice, few_of, worths
from pedseg.gap.labels_page import labels_record, labels_section
from pedseg.gap.roles import THRESHOLDS, TUNED
from pedseg.gap.rows import make_rows
from tests.gap.test_gap import ADAPTS, ADULTS, DANN, HALF, LOW, STYLE, UP, write_bounds, write_run

NUMBERS = (1, 2, 5, 10)
GAINS = (0.1, 0.2, 0.3, 0.35)  # of Dice over 1*, which has 0.3 in the mean
METHODS = ("uda", "uda_style")
ON_LABELS = {"source": {"adult": None, "ped": "fold"}, "target": []}


def write_few(runs: Path, *, seeds: tuple[int, ...] = (0,), spread: float = 0.0) -> None:
    """Three draws, the third worse and the second better by `spread`; thresholds give half as much."""
    for seed in seeds:
        for number, gain in zip(NUMBERS, GAINS, strict=True):
            for draw, off in enumerate((0.0, spread, -spread)):
                data = {**ON_LABELS, "few": {"ped": number}, "draw": draw}
                name = f"few_labels/data.draw={draw},data.few.target={number}"
                write_run(runs, name, LOW + gain + off, seed=seed, data=data)
                how = {"few": {"ped": number}, "draw": draw}
                variant = f"few_{number}_{draw}"
                write_run(runs, "m1_adult_fold", LOW + gain / 2 + off, seed=seed, data=ADULTS, variant=variant, how=how)


@pytest.mark.parametrize(
    ("gain", "wanted"),
    [(-0.1, 0.0), (0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.25, 3.5), (0.3, 5.0), (0.34, 9.0), (0.36, math.inf)],
)
def test_the_line_is_followed(gain: float, wanted: float) -> None:
    curve = np.array([[0.0], *([g] for g in GAINS)])
    assert as_many(np.array([gain]), np.array([0.0, *NUMBERS]), curve)[0] == pytest.approx(wanted)


def test_the_line_is_made_to_rise() -> None:
    """What 2 labels give less than 1 does not make 2 of them worth less; nothing known gives nothing."""
    curve = np.array([[0.0, 0.0], [0.3, 0.3], [0.1, 0.1], [0.5, np.nan]])
    found = as_many(np.array([0.2, 0.2]), np.array([0.0, 1, 2, 5]), curve)
    assert found[0] == pytest.approx(2 / 3)
    assert math.isnan(found[1])
    assert as_many(np.array([0.4]), np.array([0.0, 1, 2, 5]), curve[:, :1])[0] == pytest.approx(3.5)


def test_worth_by_hand(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_few(tmp_path)
    write_run(tmp_path, "uda", LOW + 0.25, data=ADAPTS, adaptation=DANN)
    write_run(tmp_path, "uda_style", LOW * 0.5, data=ADAPTS, adaptation={"fourier": STYLE})
    found = load_benchmark(tmp_path)
    assert [entry.name for entry in found.entries] == [
        "m1_adult_fold",
        "m2_ped_nods",
        "m3_mixed_nods",
        "uda",
        "uda_style",
    ]
    few = few_of(found)
    assert [(one.way, one.cases, len(one.draws)) for one in few] == [
        (way, number, 3) for way in (TUNED, THRESHOLDS) for number in NUMBERS
    ]
    assert few_dice(few[1], found)["tc"] == pytest.approx(0.5)
    by_name = {one.row.entry.name: one.labels for one in worths(found, make_rows(found), resamples=200)}
    assert by_name.keys() == {"uda", "uda_style"}
    uda = by_name["uda"][TUNED, "tc"]
    assert (uda.value, uda.low, uda.high) == pytest.approx((3.5, 3.5, 3.5))  # as much better in each case: no spread
    assert by_name["uda"][THRESHOLDS, "tc"].value == math.inf
    assert by_name["uda_style"][TUNED, "tc"].value == 0


def test_draws_that_differ_widen_the_interval(tmp_path: Path) -> None:
    write_bounds(tmp_path, seeds=(0, 1))
    write_few(tmp_path, seeds=(0, 1), spread=0.05)
    for seed in (0, 1):
        write_run(tmp_path, "uda", LOW + 0.25, seed=seed, data=ADAPTS, adaptation=DANN)
    found = load_benchmark(tmp_path)
    (uda,) = worths(found, make_rows(found), resamples=500)
    labels = uda.labels[TUNED, "tc"]
    assert labels.value == pytest.approx(3.5)
    assert labels.low < 3.0
    assert labels.high > 4.5


def test_the_page_says_it(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_few(tmp_path)
    write_run(tmp_path, "uda", LOW + 0.25, data=ADAPTS, adaptation=DANN)
    found = load_benchmark(tmp_path)
    rows = worths(found, make_rows(found), resamples=50)
    table, worth = (table.markdown() for table in labels_section(found, rows).tables)
    assert "| 5 children | fine-tuned | 3 | 0.300 | 0.600 | – | – | 0.900 |" in table
    assert r"| uda | 3.5 (3.5 … 3.5) | – | – | \> 10 (\> 10 … \> 10) | – | – |" in worth
    record = json.loads(json.dumps(labels_record(rows), allow_nan=False))
    assert record["uda"]["fine-tuned, tc"] == pytest.approx([3.5, 3.5, 3.5])
    assert record["uda"]["thresholds, tc"] == [None, None, None]


def test_without_few_labels_nothing_is_said(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN)
    found = load_benchmark(tmp_path)
    assert not worths(found, make_rows(found))
    assert labels_section(found, []).empty


def test_a_seed_without_labels_is_left_out(tmp_path: Path) -> None:
    write_bounds(tmp_path, seeds=(0, 1))
    write_few(tmp_path)
    write_run(tmp_path, "uda", LOW + 0.25, data=ADAPTS, adaptation=DANN)
    write_run(tmp_path, "uda", UP, seed=1, data=ADAPTS, adaptation=DANN)
    found = load_benchmark(tmp_path)
    (uda,) = worths(found, make_rows(found), resamples=50)
    assert uda.labels[TUNED, "tc"].value == pytest.approx(3.5)
