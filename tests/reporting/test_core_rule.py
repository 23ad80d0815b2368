"""The rule TC := WT, bounded from scores per case."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pedseg.commands.report import main as report
from pedseg.reporting.core_rule import (
    CAPTION,
    Bounds,
    Counts,
    cases_of,
    counts_of,
    rule_bounds,
    rule_page_table,
    rule_table,
)
from pedseg.reporting.rows import Model, load_models
from pedseg.reporting.sizes import read_sizes
from pedseg.sinks import markdown

Mask = NDArray[np.bool_]
Row = dict[str, float]


def nested(rng: np.random.Generator, size: int) -> tuple[Mask, Mask]:
    """WT and a TC inside it, of any sizes."""
    wt = rng.random(size) < rng.random()
    return wt, wt & (rng.random(size) < rng.random())


def dice(a: Mask, b: Mask) -> float:
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def scored(label: Mask, prediction: Mask) -> tuple[float, float, float]:
    """Dice, sensitivity and volume, as a table of scores has them."""
    volume = int(label.sum())
    found = int((label & prediction).sum())
    return dice(label, prediction), found / volume if volume else np.nan, float(volume)


def bounds(label: tuple[Mask, Mask], prediction: tuple[Mask, Mask]) -> Bounds:
    wt, tc = (
        counts_of(*(np.array([value]) for value in scored(label[index], prediction[index]))) for index in range(2)
    )
    return Bounds(*(np.asarray(one[0]) for one in rule_bounds(wt, tc)))


def test_the_truth_lies_within_the_bounds_and_sometimes_on_them() -> None:
    rng = np.random.default_rng(0)
    attained = {"lower": 0, "upper": 0}
    for _ in range(1000):
        label, prediction = nested(rng, 24), nested(rng, 24)
        found = bounds(label, prediction)
        truth = dice(label[1], prediction[0])
        assert found.lower - 1e-12 <= truth <= found.upper + 1e-12, (label, prediction)
        assert found.lower - 1e-12 <= found.independent <= found.upper + 1e-12
        for name in attained:
            attained[name] += abs(float(getattr(found, name)) - truth) < 1e-12
    assert min(attained.values()) > 50, attained


def test_both_bounds_are_attained_by_maps_of_the_same_scores() -> None:
    """Four voxels of WT are predicted and two missed: whether core or oedema was missed, the scores are the same."""
    wt = np.array([1, 1, 1, 1, 1, 1, 0, 0], dtype=bool)
    predicted = (np.array([1, 1, 1, 1, 0, 0, 1, 0], dtype=bool), np.zeros(8, dtype=bool))
    core_found = (wt, np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool))
    core_missed = (wt, np.array([1, 0, 0, 0, 1, 1, 0, 0], dtype=bool))
    found, missed = bounds(core_found, predicted), bounds(core_missed, predicted)
    assert found == missed
    assert float(found.upper) == pytest.approx(dice(core_found[1], predicted[0]))
    assert float(found.lower) == pytest.approx(dice(core_missed[1], predicted[0]))
    assert float(found.independent) == pytest.approx(2 * 3 * 4 / 6 / (5 + 3))  # 2/3 of three voxels


def test_the_rule_finds_nothing_where_no_wt_was_found() -> None:
    nothing = counts_of(np.array([0.0]), np.array([0.0]), np.array([10.0]))
    assert np.isnan(nothing.predicted[0])
    assert [float(b[0]) for b in rule_bounds(nothing, nothing)] == [0, 0, 0]
    empty = counts_of(np.array([1.0]), np.array([np.nan]), np.array([0.0]))
    assert empty == Counts(np.array([0.0]), np.array([0.0]), np.array([0.0]))
    assert [float(b[0]) for b in rule_bounds(empty, empty)] == [1, 1, 1]


def rows_of(table: pd.DataFrame) -> dict[tuple[str, str], Row]:
    """Rows by model and stratum."""
    return {(row["model"], row["cases"]): row for row in table.to_dict("records")}  # type: ignore[misc]


def model(cases: dict[str, tuple[float, float]]) -> Model:
    """Dice of WT and TC by case, each with a sensitivity of the same value."""
    rows = [
        {"case": case, "region": region, "dice": value, "sensitivity": value, "hd95_mm": 1.0}
        for case, values in cases.items()
        for region, value in zip(("wt", "tc", "et"), (*values, 0.0), strict=True)
    ]
    return Model("some", pd.DataFrame(rows))


def test_children_are_parted_by_their_oedema() -> None:
    sizes = pd.DataFrame(
        {"et": [0.0, 10, 0], "nc": [100, 40, np.nan], "ed": [0, 50, 8]}, index=["none", "much", "only"]
    )
    table = rule_table([model({"none": (1.0, 0.5), "much": (1.0, 0.8)})], sizes)
    rows = rows_of(table)
    fewer = rule_table([model({"none": (1.0, 0.5)})], sizes)
    assert cases_of(pd.concat([table, fewer]), "all") == "n = 1 … 2"
    assert cases_of(table, "all") == "n = 2"
    every, none, much = (rows["some", stratum] for stratum in ("all", "no ED", "TC/WT < 0.9"))
    assert [row["n"] for row in rows.values()] == [2, 1, 1, 1]
    assert [none[name] for name in ("tc", "lower", "upper")] == [0.5, 1.0, 1.0]
    assert [much[name] for name in ("tc", "lower", "upper")] == [0.8, pytest.approx(2 / 3), pytest.approx(2 / 3)]
    assert every["true_share"] == 0.75
    assert every["predicted_share"] == pytest.approx((1.0 + 0.5) / 2)  # where S = D, as much is predicted as is there


def test_scores_without_sensitivities_have_no_bounds() -> None:
    without = model({"none": (1.0, 0.5)})
    bare = Model("bare", without.scores.drop(columns="sensitivity"))
    sizes = pd.DataFrame({"et": [0.0], "nc": [100.0], "ed": [0.0]}, index=["none"])
    assert rule_table([bare], sizes).empty
    assert rule_table([without], sizes.iloc[:0]).empty


def test_the_published_models_against_the_rule(shared: Path) -> None:
    """The adults' model, with all of its WT called core, is as good as the paper's adaptation."""
    reference = shared / "reference"
    sizes = read_sizes([reference / "ped_tumor_sizes.csv"])
    rows = rows_of(rule_table(load_models([reference / "per_case"]), sizes))
    adults, oedema = rows["1*", "all"], rows["1*", "TC/WT < 0.9"]
    names = ("tc", "lower", "independent", "upper", "predicted_share", "true_share")
    assert [round(adults[name], 3) for name in names] == [0.526, 0.837, 0.842, 0.856, 0.383, 0.922]
    assert [round(oedema[name], 3) for name in ("n", "tc", "independent")] == [19, 0.752, 0.663]
    assert rows["UDA", "all"]["tc"] < adults["upper"]
    ruled = rows["model6_postprocessed", "all"]  # its rules call nearly all of WT core
    assert ruled["predicted_share"] == pytest.approx(1, abs=0.01)
    assert ruled["tc"] == pytest.approx(ruled["lower"], abs=1e-3)


def test_the_page_holds_what_the_published_scores_give(shared: Path) -> None:
    """docs/core_rule.md and the rows of README.md are those that the command gives today."""
    reference, root = shared / "reference", Path(__file__).parents[2]
    table = rule_table(load_models([reference / "per_case"]), read_sizes([reference / "ped_tumor_sizes.csv"]))
    assert rule_page_table(table, caption=CAPTION).markdown() in (root / "docs" / "core_rule.md").read_text(
        encoding="utf-8"
    )
    readme = (root / "README.md").read_text(encoding="utf-8")
    for name in ("1*", "UDA", "3*"):
        every, few = (rows_of(table)[name, stratum] for stratum in ("all", "TC/WT < 0.9"))
        cells = [f"{one['tc']:.3f} | {one['lower']:.3f} … {one['upper']:.3f}" for one in (every, few)]
        assert f"| {markdown(name)} | {' | '.join(cells)} | {every['predicted_share']:.2f} |" in readme


def test_a_report_holds_table_file_and_picture(tmp_path: Path) -> None:
    ids = ["C-1", "C-2", "C-3"]
    (tmp_path / "scores").mkdir()
    for name in ("model1_nods", "uda"):
        model(dict.fromkeys(ids, (0.9, 0.8))).scores.to_csv(tmp_path / "scores" / f"{name}.csv", index=False)
    sizes = pd.DataFrame(
        [(case, tissue, 100.0) for case in ids for tissue in ("ET", "NC", "ED")],
        columns=["ID", "Region", "Number of voxels"],
    )
    sizes.to_csv(tmp_path / "sizes.csv", index=False)
    output = tmp_path / "report"
    assert report([str(tmp_path / "scores"), "--sizes", str(tmp_path / "sizes.csv"), "--output", str(output)]) == 0
    page = (output / "index.html").read_text(encoding="utf-8")
    assert "The rule TC := WT</h2>" in page
    assert (output / "figures" / "core_rule.png").stat().st_size > 1000
    assert "TC with and without oedema</h2>" in page
    assert "0.800 (n = 3)" in page
    assert pd.read_csv(output / "strata.csv")["n with oedema"].tolist() == [3, 3]
    table = pd.read_csv(output / "core_rule.csv")
    assert set(table["model"]) == {"1*", "UDA"}
