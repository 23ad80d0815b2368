"""Pictures: what they show, read back from the figures; that they look right is for eyes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pedseg.errors import PedsegError
from pedseg.reporting.figures.comparison import comparison_figure, models_to_compare, p_text
from pedseg.reporting.figures.curves import training_curves
from pedseg.reporting.figures.sizes import size_figure
from pedseg.reporting.figures.style import BLUE, REGION_COLOURS, box_plots, save, wrap
from pedseg.reporting.names import legend_of, short_names
from pedseg.reporting.rows import Model
from pedseg.reporting.statistics import compare_models
from pedseg.reporting.training_log import read_curves
from pedseg.runs import RunFolder
from tests.reporting.worlds import curves


def model(name: str, dice: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Model:
    rows = [
        {"case": f"c{i}", "region": region, "dice": value, "hd95_mm": 374.0 * (1 - value)}
        for i, value in enumerate(dice)
        for region in ("wt", "tc", "et")
    ]
    return Model(name, pd.DataFrame(rows))


def labels(figure: Figure, panel: int) -> dict[str, str]:
    """Colour of each labelled line of a panel."""
    return {str(line.get_label()): to_hex(line.get_color()).upper() for line in figure.axes[panel].lines}


def write_metrics(folder: Path, table: pd.DataFrame) -> RunFolder:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "metrics.csv", index=False)
    return RunFolder(folder)


def test_box_plots(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 21)
    figure = box_plots([model("1*", values), model("UDA", values**2)], title="Scores (SYNTHETIC data)")
    dice, distance = figure.axes
    assert figure.get_suptitle() == "Scores (SYNTHETIC data)"
    assert [tick.get_text() for tick in distance.get_xticklabels()] == ["1*", "UDA"]
    assert len(dice.patches) == len(distance.patches) == 6  # boxes: two models, three regions
    black = [np.asarray(line.get_ydata()) for line in dice.lines if to_hex(line.get_color()) == "#000000"]
    medians = [float(y[0]) for y in black if len(y) == 2]
    assert medians == pytest.approx([0.5, 0.25] * 3)
    assert distance.get_ylim()[1] > 374
    data = pd.DataFrame({"model": ["=cmd()"], "dice": [0.5]})
    picture = save(figure, tmp_path / "a b" / "x", caption="Words", data=data)
    assert [path.name for path in picture.files] == ["x.svg", "x.pdf", "x.png", "x.csv"]
    assert all(path.stat().st_size > 10_000 for path in picture.files[:3])
    assert (tmp_path / "a b" / "x.csv").read_text() == "model,dice,caption\n'=cmd(),0.5,Words\n"
    before = picture.svg.read_bytes()
    assert save(figure, tmp_path / "a b" / "x", caption="Words").svg.read_bytes() == before  # no date is in it


def test_a_model_without_a_region_leaves_its_place_empty() -> None:
    partial = model("x", np.array([0.5, 0.6]))
    partial = Model("x", partial.scores[partial.scores["region"] != "et"])
    figure = box_plots([partial, model("y", np.array([0.1, 0.2]))])
    assert len(figure.axes[0].patches) == 6


def test_long_names_are_broken() -> None:
    assert wrap("uda, alpha_max=1, seed=2") == "uda, alpha_\nmax=1, seed=2"
    assert wrap("uda_released") == "uda_released"


def test_long_names_keep_what_differs() -> None:
    sweep = [f"uda/adaptation.dann.alpha_max={alpha},seed=2" for alpha in (1, 3)]
    names = short_names(sweep)
    assert list(names.values()) == ["uda, alpha_max=1", "uda, alpha_max=3"]
    assert legend_of(names) == f" uda, alpha_max=1: {sweep[0]}; uda, alpha_max=3: {sweep[1]}."
    assert short_names(["1*", "UDA"]) == {"1*": "1*", "UDA": "UDA"}
    assert legend_of({"1*": "1*"}) == ""
    longest = ["an_experiment_with_a_name_that_ends_in_a", "an_experiment_with_a_name_that_ends_in_b"]
    assert short_names(longest) == dict(zip(longest, ("A", "B"), strict=True))


def test_training_curves_of_an_adapting_run(tmp_path: Path) -> None:
    figure = training_curves(read_curves(write_metrics(tmp_path, curves(adapts=True))), title="UDA, fold_0")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [
        "Segmentation loss", "Source validation Dice (patches)", "Learning rate",
        "Domain accuracy", "Domain loss", "Gradient norm at the split",
    ]  # fmt: skip
    assert labels(figure, 1)["ET"] == REGION_COLOURS["et"] == BLUE
    accuracy = figure.axes[3]
    drawn = {str(line.get_label()): line for line in accuracy.lines}
    assert {"source", "target", "both"} <= set(drawn)
    assert np.size(drawn["both"].get_ydata()) == 60  # the blanks of the validation rows are left out
    assert any(set(np.asarray(line.get_ydata())) == {0.5} for line in accuracy.lines)  # chance
    alpha = next(axis for axis in figure.axes if axis.get_ylabel() == "α")
    assert np.max(alpha.lines[0].get_ydata()) == 3.0


def test_training_curves_of_a_supervised_run_have_no_domain_panels(tmp_path: Path) -> None:
    figure = training_curves(read_curves(write_metrics(tmp_path, curves(adapts=False))))
    assert len(figure.axes) == 3
    assert "training, L_seg" in labels(figure, 0)


def test_one_epoch_and_damage(tmp_path: Path) -> None:
    run = write_metrics(tmp_path, curves(adapts=True, epochs=1))
    assert training_curves(read_curves(run)).axes[0].get_xlim() == (0.5, 1.5)  # epochs are counted from 1
    run.metrics.write_text("step\n1\n")
    with pytest.raises(PedsegError, match=r"metrics\.csv"):
        read_curves(run)


def test_comparison_marks_what_differs() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.4, 0.8, 40)
    better = base + 0.1 + rng.normal(0, 0.05, 40)
    models = [model("1*", base), model("2*", base + rng.normal(0, 0.01, 40)), model("UDA", better)]
    table = compare_models(models)
    figure = comparison_figure(models, table, title="x")
    assert len(figure.axes) == 6
    shown = [text.get_text() for text in figure.axes[0].texts]
    expected = table[(table["metric"] == "dice") & (table["region"] == "et") & (table["p_t_holm"] < 0.05)]
    assert sorted(shown) == sorted(p_text(p) for p in expected["p_t_holm"])
    assert len(expected) >= 2
    assert figure.axes[3].get_xticklabels()[0].get_text() == "1*\nn = 40"


def test_few_cases_are_not_told_apart_by_uncorrected_tests() -> None:
    base = np.array([0.5, 0.6, 0.7, 0.8])
    models = [model("1*", base), model("UDA", base + np.array([0.1, 0.11, 0.1, 0.12]))]
    table = compare_models(models)
    table["p_t"] = 0.001
    table["p_t_holm"] = 0.06
    assert not comparison_figure(models, table).axes[0].texts
    assert [p_text(value) for value in (0.0004, 0.004, 0.0421)] == ["p < 0.001", "p = 0.004", "p = 0.04"]


def test_choice_of_models_to_compare() -> None:
    def named(*names: str) -> list[Model]:
        return [model(name, np.array([0.5])) for name in names]

    assert models_to_compare(named("UDA")) == []
    assert len(models_to_compare(named("a", "b", "c", "d", "e"))) == 5
    many = named("1", "2", "3", "4", "1*", "3*", "UDA")
    assert [m.name for m in models_to_compare(many)] == ["1*", "3*", "UDA"]
    assert models_to_compare(named(*"abcdef")) == []


def test_sizes_count_what_is_absent() -> None:
    sizes = pd.DataFrame(
        {"et": [0, 50, 500.0], "nc": [10, 20, 30.0], "ed": [0, 0, 9.0], "cohort": ["ped", "ped", "adult"]},
        index=list("abc"),
    )
    figure = size_figure(sizes, below_mm3=60)
    legends = [axis.get_legend_handles_labels()[1] for axis in figure.axes]
    assert legends[0] == ["adult: none in 0 of 1", "ped: none in 1 of 2"]
    assert legends[2] == ["adult: none in 0 of 1", "ped: none in 2 of 2"]
