"""What choosing without labels costs in each seed: regret and rank correlation by hand."""

import math
from pathlib import Path

import pytest

from pedseg.gap.benchmark import load_benchmark
from pedseg.gap.page import gap_document
from pedseg.gap.seeds import seed_costs, seed_table
from pedseg.pages.render import html
from tests.gap.test_gap import ADAPTS, BOTH, DANN, HALF, LOW, STYLE, report_of, write_bounds, write_choices, write_run

# Mean Dice of the regions with TC t, ET t/2 and WT 0.9 is t/2 + 0.3.
ADULTS, UDA, TEACHER = (t / 2 + 0.3 for t in (0.3, 0.5, 0.68))


def page_of(runs: Path) -> str:
    """The page of a benchmark."""
    return html(gap_document(report_of(runs)), folder=runs)


def test_regret_in_each_seed(tmp_path: Path) -> None:
    """InfoMax: uda is first in seed 0 (0.9, 0.6, 0.1), the teacher in seed 1 (0.6, 0.1, 0.1); entropy: the adults."""
    write_choices(tmp_path)
    rows, notes = seed_costs(load_benchmark(tmp_path))
    assert notes == []
    assert [row.validator for row in rows] == ["infomax", "entropy"]
    infomax, entropy = rows
    assert infomax.chosen == {0: ["uda"], 1: ["uda_mean_teacher"]}
    assert infomax.regret == pytest.approx({0: TEACHER - UDA, 1: 0.0})
    assert infomax.mean_regret == pytest.approx((TEACHER - UDA) / 2)
    # Ranks by score and by Dice. Seed 0: (1, 3, 2) and (1, 2, 3); seed 1: (1.5, 1.5, 3) and (1, 2, 3).
    assert infomax.correlation == pytest.approx({0: 0.5, 1: math.sqrt(3) / 2})
    assert infomax.mean_correlation == pytest.approx((0.5 + math.sqrt(3) / 2) / 2)
    assert entropy.chosen == {0: ["1* m1_adult_fold"], 1: ["1* m1_adult_fold"]}
    assert entropy.regret == pytest.approx(dict.fromkeys((0, 1), TEACHER - ADULTS))
    assert seed_table(rows).markdown().splitlines()[2:] == [
        "| validator | seed 0 | seed 1 | mean regret | mean rank correlation |",
        "|---|---|---|---:|---:|",
        r"| InfoMax | uda (0.0900) | uda\_mean\_teacher (0.0000) | 0.0450 | +0.68 |",
        r"| entropy | 1\* m1\_adult\_fold (0.1900) | 1\* m1\_adult\_fold (0.1900) | 0.1900 | -0.87 |",
    ]


def test_the_baseline_is_marked_and_what_is_missing_is_said(tmp_path: Path) -> None:
    """Seed 1 lacks the scores of one model and every source Dice: that mean cannot be had, and comes last."""
    write_bounds(tmp_path, seeds=(0, 1))
    for seed in (0, 1):
        own = {"source_dice": 0.9} if not seed else {}
        write_run(tmp_path, "uda", HALF, seed=seed, data=ADAPTS, adaptation=DANN, validators={"snd": 1.0, **own})
        style = {"fourier": STYLE}
        own = {"source_dice": 0.8} if not seed else {}
        write_run(tmp_path, "uda_style", LOW, seed=seed, data=ADAPTS, adaptation=style, validators={"snd": 2.0, **own})
        write_run(tmp_path, "uda_released", LOW, seed=seed, data=BOTH, adaptation=DANN, validators={"snd": 9.0})
    rows, notes = seed_costs(load_benchmark(tmp_path))
    assert [row.validator for row in rows] == ["snd", "source_dice"]
    assert rows[0].chosen == {0: ["uda_style"], 1: ["uda_style"]}  # what saw labels of children is no candidate
    assert rows[1].chosen == {0: ["uda"], 1: ()}
    assert rows[1].regret[0] == pytest.approx(0.0)
    assert math.isnan(rows[1].mean_regret)
    assert seed_table(rows).markdown().splitlines()[4:] == [
        r"| SND | uda\_style (0.1000) | uda\_style (0.1000) | 0.1000 | – |",
        "| source Dice (baseline) | uda (0.0000) | – | – | – |",
    ]
    assert notes == [
        f"Not validated in seed {seed}, and no choice there: 1* m1_adult_fold; run pedseg validate." for seed in (0, 1)
    ]
    assert "no choice there: 1* m1_adult_fold" in page_of(tmp_path)


def test_three_that_tie_are_counted(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    for name, tc in (("a", LOW), ("b", LOW), ("c", HALF)):
        write_run(tmp_path, name, tc, data=ADAPTS, adaptation=DANN, validators={"snd": 1.0, "sizes": -0.1})
    assert "Published sizes are flattered here" in page_of(tmp_path)
    assert (
        "| SND | 3 models that tie (0.0667) | 0.0667 | – |"
        in seed_table(seed_costs(load_benchmark(tmp_path))[0]).markdown()
    )


def test_runs_without_scores(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN)
    assert seed_costs(load_benchmark(tmp_path)) == ([], [])
    write_run(tmp_path, "uda_style", LOW, data=ADAPTS, adaptation=DANN, validators={"snd": 1.0})
    assert seed_costs(load_benchmark(tmp_path)) == ([], [])  # one alone is no choice
    assert "seed by seed" not in page_of(tmp_path)
