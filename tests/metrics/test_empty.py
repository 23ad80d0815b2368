"""The table of empty masks, row by row."""

import math

import pytest

from pedseg.metrics import Counts
from pedseg.metrics.empty import EMPTY_2023, EMPTY_2025

BOTH, MISSED, INVENTED, APART, SHARED = (
    Counts(0, 0, 0, 9), Counts(0, 0, 3, 6), Counts(0, 3, 0, 6), Counts(0, 2, 2, 5), Counts(1, 0, 0, 8),
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("dice", [1.0, 0.0, 0.0, 0.3, 0.3]),
        ("hd95_mm", [0.0, 374.0, 374.0, 0.3, 0.3]),
        ("surface_dice", [1.0, 0.0, 0.0, 0.3, 0.3]),
        ("sensitivity", [1.0, 0.0, 0.0, 0.3, 0.3]),
        ("specificity", [1.0, 0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_2023(metric: str, expected: list[float]) -> None:
    assert [EMPTY_2023.resolve(metric, 0.3, c) for c in (BOTH, MISSED, INVENTED, APART, SHARED)] == expected


@pytest.mark.parametrize(("metric", "worst"), [("dice", 0.0), ("hd95_mm", 373.0), ("surface_dice", 0.0)])
def test_2025(metric: str, worst: float) -> None:
    assert math.isnan(EMPTY_2025.resolve(metric, 0.3, BOTH))
    assert [EMPTY_2025.resolve(metric, 0.3, c) for c in (MISSED, INVENTED, APART, SHARED)] == [worst] * 3 + [0.3]


def test_2025_leaves_what_it_does_not_define() -> None:
    for metric in ("sensitivity", "specificity"):
        assert EMPTY_2025.resolve(metric, 0.3, BOTH) == EMPTY_2025.resolve(metric, 0.3, MISSED) == 0.3
