"""The adversary's picture and its lines in the report, read back from the figure and the page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pedseg.errors import PedsegError
from pedseg.health import CHANCE, RULES
from pedseg.reporting.adversary import Watched, watch
from pedseg.reporting.figures.adversary import PANEL_OF, adversary_figure
from pedseg.reporting.figures.style import save
from pedseg.runs import RunFolder
from tests.composed import write_config
from tests.reporting.worlds import curves

LAMBDA = 0.01


def watched(folder: Path, *, epochs: int = 60, shift: float = 0.0) -> Watched:
    """A run whose source Dice is `shift` higher, with the reversed gradient above the other from index 26 on."""
    table = curves(adapts=True, epochs=epochs)
    table["val/source/dice_mean"] = table["val/source/dice_wt"] + shift
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "metrics.csv", index=False)
    run = RunFolder(folder)
    write_config(run.path, adaptation={"dann": {"alpha_max": 3.0, "lambda_domain": LAMBDA}})
    seen = watch(run)
    assert seen is not None
    return seen


def panel(figure: Figure, title: str) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Points of the labelled lines of a panel, of those without a label under ``line``."""
    axis = next(axis for axis in figure.axes if axis.get_title().startswith(title))
    drawn = {}
    for line in axis.lines:
        name = str(line.get_label())
        drawn["line" if name.startswith("_") else name] = np.asarray(line.get_xydata())
    return drawn


def test_one_run(tmp_path: Path) -> None:
    run = watched(tmp_path / "fold_0")
    figure = adversary_figure([run], title="Adversary of UDA (SYNTHETIC data)")
    assert figure.get_suptitle() == "Adversary of UDA (SYNTHETIC data)"
    table = curves(adapts=True).groupby("epoch").mean()
    accuracy = panel(figure, "Domain accuracy")
    for side in ("source", "target"):
        assert accuracy[side][:, 1] == pytest.approx(table[f"train/{side}/domain_accuracy"])
    assert accuracy["source"][:, 0] == pytest.approx(np.arange(1, 61))  # counted as the log does
    alpha = next(axis for axis in figure.axes if axis.get_ylabel() == "α")
    assert np.asarray(alpha.lines[0].get_ydata()) == pytest.approx(table["train/alpha"])
    loss = next(axis for axis in figure.axes if axis.get_title() == "λ·L_d, λ = 0.01")
    assert np.asarray(loss.lines[0].get_ydata()) == pytest.approx(LAMBDA * table["train/loss_domain"])
    assert set(np.asarray(loss.lines[1].get_ydata())) == {LAMBDA * CHANCE}
    ratio = next(axis for axis in figure.axes if axis.get_title().startswith("Gradients"))
    assert ratio.get_yscale() == "log"
    reversed_ = table[table["train/alpha"] > 0]
    expected = reversed_["train/gradient_domain"] / reversed_["train/gradient_seg"]
    assert np.asarray(ratio.lines[0].get_ydata()) == pytest.approx(expected)
    picture = save(figure, tmp_path / "a b" / "adversary", caption="x")
    assert {path.suffix for path in picture.files} == {".svg", ".pdf", ".png"}
    assert all(path.stat().st_size > 20_000 for path in picture.files)


def test_findings_are_marked_where_they_came(tmp_path: Path) -> None:
    run = watched(tmp_path / "fold_0")
    assert [(finding.rule, finding.epoch) for finding in run.findings] == [("dominating gradient", 28)]  # third of five
    figure = adversary_figure([run])
    ratio = next(axis for axis in figure.axes if axis.get_title().startswith("Gradients"))
    assert [text.get_text() for text in ratio.texts if text.get_rotation() == 90] == ["dominating gradient"]
    assert set(np.asarray(ratio.lines[-1].get_xdata())) == {29}
    assert set(PANEL_OF) == set(RULES)


def test_folds_lie_below_their_mean(tmp_path: Path) -> None:
    runs = [watched(tmp_path / f"fold_{k}", epochs=60 - 10 * k, shift=-0.1 * k) for k in range(2)]
    figure = adversary_figure(runs)
    dice = next(axis for axis in figure.axes if axis.get_title().startswith("Source validation"))
    first, second, mean = (np.asarray(line.get_xydata()) for line in dice.lines)
    assert (len(first), len(second), len(mean)) == (60, 50, 60)
    assert mean[:50, 1] == pytest.approx((first[:50, 1] + second[:, 1]) / 2)
    assert mean[50:, 1] == pytest.approx(first[50:, 1])  # the shorter fold has ended
    assert mean[:, 0] == pytest.approx(np.arange(1, 61))


def test_a_run_that_does_not_say_lambda_and_one_of_a_single_epoch(tmp_path: Path) -> None:
    run = watched(tmp_path, epochs=1)
    figure = adversary_figure([replace(run, weight=None)])
    assert {"L_d", "Domain accuracy and α"} <= {axis.get_title() for axis in figure.axes}
    save(figure, tmp_path / "one", caption="x")  # an empty ratio on a logarithmic axis


def test_runs_without_an_adversary_and_damaged_ones(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert watch(run) is None
    curves(adapts=False).to_csv(run.metrics, index=False)
    assert watch(run) is None
    curves(adapts=True).assign(**{"train/alpha": 0.0, "train/gradient_domain": 0.0}).to_csv(run.metrics, index=False)
    control = watch(run)  # no config.json: the largest alpha that was seen stands for the final one
    assert control is not None
    assert control.weight is None
    assert control.findings == ()
    pd.DataFrame({"step": [1]}).to_csv(run.metrics, index=False)
    with pytest.raises(PedsegError, match=r"metrics\.csv"):
        watch(run)
