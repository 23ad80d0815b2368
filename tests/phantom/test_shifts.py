"""Shifts: their frozen values, and what the cohorts made of them are like."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.labels import Modality, Region
from pedseg.phantom.__main__ import main
from pedseg.phantom.anatomy import load_atlas
from pedseg.phantom.cohort import CohortSettings, build_case
from pedseg.phantom.shifts import SHIFTS, Shift, Traits
from pedseg.phantom.sizes import draw_sizes, kolmogorov_smirnov, size_model, uniform_draws

CASES = 40
SPACING = 4.0  # of the benchmark
TISSUES = {"ed": 2, "nc": 1, "et": 3}
OEDEMA = 0.9  # TC/WT below which a child has some
FROZEN = {  # mean WT, TC and ET of the benchmark's test children in cm³
    "A": (58.29, 53.38, 12.00),
    "B": (54.90, 50.76, 9.29),
    "C": (56.57, 30.03, 10.56),
    "D": (59.10, 50.04, 9.89),
    "E": (98.69, 42.06, 12.58),
}


@pytest.fixture(scope="module")
def labels() -> Mapping[str, list[tuple[float, float, float]]]:
    """WT, TC and ET in mm³ of the test children of the benchmark's size, as they are drawn, by shift."""
    return {name: [sizes(shift, index) for index in range(50, 50 + CASES)] for name, shift in SHIFTS.items()}


def sizes(shift: Shift, index: int) -> tuple[float, float, float]:
    draws = uniform_draws(cohort="ped", seed=shift.seed, index=index)
    drawn = draw_sizes(size_model(shift.children.population), draws)
    return drawn.wt, drawn.tc, drawn.et


def core_shares(labels: Mapping[str, list[tuple[float, float, float]]], name: str) -> NDArray[np.float64]:
    table = np.array(labels[name])
    shares: NDArray[np.float64] = table[:, 1] / table[:, 0]
    return shares


def z_scores(cohort: str, shift: str, *, cases: int = 24) -> dict[tuple[Modality, str], float]:
    """Median over cases of the mean z-score of each tumour tissue, of cases with 20 voxels of it."""
    settings = CohortSettings(cohort, SPACING, seed=9, shift=shift)
    found: dict[tuple[Modality, str], list[float]] = {}
    for index in range(cases):
        case = build_case(load_atlas(SPACING), settings, index)
        for modality, image in case.images.items():
            brain = image[image > 0].astype(float)
            scores = (image - brain.mean()) / brain.std()
            for tissue, value in TISSUES.items():
                inside = scores[case.label == value]
                if inside.size >= 20:
                    found.setdefault((modality, tissue), []).append(float(inside.mean()))
    return {key: float(np.median(values)) for key, values in found.items()}


@pytest.fixture(scope="module")
def looks() -> Mapping[str, Mapping[tuple[Modality, str], float]]:
    return {"adult": z_scores("adult", "A"), **{name: z_scores("ped", name) for name in ("A", "D", "E")}}


def test_the_values_are_frozen() -> None:
    """Methods are compared on these; another value is another shift, under another name."""
    assert {name: (shift.children, shift.seed) for name, shift in SHIFTS.items()} == {
        "A": (Traits("brats_peds2023", 1.0, "ped"), 0),
        "B": (Traits("brats_peds2023", 1.25, "ped"), 1),
        "C": (Traits("synthetic_oedema", 1.0, "ped"), 2),
        "D": (Traits("brats_peds2023", 0.0, "adult"), 3),
        "E": (Traits("brats_adults", 1.0, "adult"), 4),
    }


def test_the_sizes_are_frozen(labels: Mapping[str, list[tuple[float, float, float]]]) -> None:
    for name, rows in labels.items():
        assert np.mean(rows, axis=0) / 1000 == pytest.approx(FROZEN[name], abs=0.011), name


def test_the_core_has_its_share(labels: Mapping[str, list[tuple[float, float, float]]]) -> None:
    shares = {name: core_shares(labels, name) for name in SHIFTS}
    for name in ("A", "B", "D"):
        assert shares[name].mean() == pytest.approx(0.922, abs=0.03), name
        assert (shares[name] < OEDEMA).sum() == pytest.approx(0.2 * CASES, abs=2), name
    assert shares["C"].mean() == pytest.approx(0.60, abs=0.03)
    assert (shares["C"] < OEDEMA).sum() == pytest.approx(0.9 * CASES, abs=2)
    assert shares["E"].mean() == pytest.approx(0.37, abs=0.04)  # as adults


def test_the_invented_population_has_the_sizes_of_its_file() -> None:
    model = size_model("synthetic_oedema")
    drawn = np.array([sizes(SHIFTS["C"], index) for index in range(2000)])
    for column, region in enumerate(Region):
        assert kolmogorov_smirnov(drawn[:, column], model.published[region]) < 0.05, region


@pytest.mark.parametrize("like", [("D", "adult"), ("E", "A")])
def test_intensities_are_those_of_adults_or_of_children(
    looks: Mapping[str, Mapping[tuple[Modality, str], float]], like: tuple[str, str]
) -> None:
    """D looks as adults do and E as children do; of either the other is far in what tells adults' core from oedema."""
    one, other = (looks[name] for name in like)
    far = looks["A" if like[1] == "adult" else "adult"]
    same = np.mean([abs(one[key] - other[key]) for key in one])
    different = np.mean([abs(one[key] - far[key]) for key in one])
    assert same < 0.3
    assert different > 1.5 * same
    core = (Modality.T1C, "nc")
    assert abs(one[core] - other[core]) < abs(one[core] - far[core]) / 2


def test_the_command_makes_a_shift_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path / "my c"), "--adults", "1", "--children", "6", "--spacing", "8"]
    assert main([*arguments, "--workers", "1", "--shift", "C"]) == 0
    notes = [json.loads((tmp_path / "my c" / c / "SYNTHETIC.json").read_text())["settings"] for c in ("adult", "ped")]
    assert notes[1]["shift"] == "C"
    assert [note["seed"] for note in notes] == [2, 2]
    assert main([*arguments, "--workers", "1", "--shift", "D"]) == 2
    assert "choose another folder" in capsys.readouterr().err
