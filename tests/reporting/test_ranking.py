"""Members ranked without labels: values by hand, what is left out, and the heat map read back from the figure."""

import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pedseg.choosing.validators import VALIDATORS
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.pages.render import html
from pedseg.reporting.figures.heat_maps import draw_heat_maps, find_grids, heat_map
from pedseg.reporting.figures.style import BLACK
from pedseg.reporting.ranking import Member, find_members, oracle_dice, printed_scores, rank_members
from pedseg.reporting.ranking_table import ranking_csv, ranking_document, ranking_tables
from pedseg.reporting.rows import Model
from tests.composed import settings as run_settings
from tests.composed import write_config

SETTINGS = {"seed": 0, "source": [["adult", "a"]], "target": [["ped", "p"]]}


def member(name: str, *, alpha: float = 1.0, weight: float = 0.1, seed: int = 0, **scores: float) -> Member:
    adaptation = {"dann": {"alpha_max": alpha, "lambda_domain": weight}}
    return Member(
        name=name,
        scores={**dict.fromkeys(VALIDATORS, math.nan), **scores},
        folds=("fold_0",),
        settings=(SETTINGS,),
        config=run_settings(seed=seed, adaptation=adaptation, paths={"runs": name}),
    )


def model(name: str, **dice: float) -> Model:
    """Dice of each case, in every region; ET is half of it."""
    rows = [
        {"case": case, "region": region, "dice": value * (0.5 if region == "et" else 1), "hd95_mm": 1.0}
        for case, value in dice.items()
        for region in ("wt", "tc", "et")
    ]
    return Model(name, pd.DataFrame(rows))


MEMBERS = [
    member("a", entropy=-0.3, infomax=0.2, snd=3.0),
    member("b", entropy=-0.1, infomax=0.3, snd=3.0),
    member("c", entropy=-0.2, infomax=0.1),
    member("d", entropy=-0.4, infomax=0.4, snd=2.0),
]
MODELS = [model("a", x=0.6), model("b", x=0.9), model("c", x=0.3), model("d", x=0.0)]


def test_ranks_regret_and_correlation() -> None:
    ranking = rank_members(MEMBERS, MODELS)
    assert ranking is not None
    assert list(ranking.scores.columns) == ["entropy", "infomax", "snd"]  # nobody has another
    assert list(ranking.ranks["entropy"]) == [3, 1, 2, 4]
    assert list(ranking.ranks["infomax"]) == [3, 2, 4, 1]
    assert list(ranking.ranks["snd"][["a", "b", "d"]]) == [1, 1, 3]
    assert math.isnan(ranking.ranks["snd"]["c"])
    mean = 2.5 / 3  # of a value and its half in ET
    assert ranking.oracle == pytest.approx({"a": 0.6 * mean, "b": 0.9 * mean, "c": 0.3 * mean, "d": 0.0})
    costs = ranking.costs
    assert costs.loc["entropy", "chosen"] == ["b"]
    assert costs.loc["entropy", "regret"] == 0
    assert costs.loc["infomax", "regret"] == pytest.approx(0.9 * mean)
    assert costs.loc["snd", "chosen"] == ["a", "b"]
    assert costs.loc["snd", "regret"] == pytest.approx(0.15 * mean)  # the mean of the two
    # ranks of the Dice are 2, 1, 3, 4; of entropy 3, 1, 2, 4: 1 - 6 · (1 + 0 + 1 + 0) / (4 · 15)
    assert costs.loc["entropy", "correlation"] == pytest.approx(1 - 6 * 2 / 60)
    # of InfoMax 3, 2, 4, 1: 1 - 6 · (1 + 1 + 1 + 9) / 60
    assert costs.loc["infomax", "correlation"] == pytest.approx(1 - 6 * 12 / 60)
    assert list(costs["members"]) == [4, 4, 3]


def test_without_labels_the_choice_is_the_same_and_its_cost_unknown() -> None:
    blind, seeing = rank_members(MEMBERS), rank_members(MEMBERS, MODELS)
    assert blind is not None
    assert seeing is not None
    pd.testing.assert_frame_equal(blind.scores, seeing.scores)
    pd.testing.assert_frame_equal(blind.ranks, seeing.ranks)
    assert list(blind.costs["chosen"]) == list(seeing.costs["chosen"])
    assert blind.costs[["regret", "correlation"]].isna().all(axis=None)
    assert blind.oracle == {}


def test_the_oracle_compares_cases_that_all_have() -> None:
    one, two = model("a", x=0.6, y=0.0), model("b", x=0.3, z=1.0)
    assert oracle_dice([one, two]) == pytest.approx({"a": 0.5, "b": 0.25})
    assert oracle_dice([one, model("b", z=1.0)]) == {}
    assert oracle_dice([]) == {}


def test_what_was_trained_on_labels_is_no_candidate() -> None:
    labelled = Member("3*", dict.fromkeys(VALIDATORS, 1.0), target_labels=True)
    ranking = rank_members([*MEMBERS, labelled], [*MODELS, model("3*", x=1.0)])
    assert ranking is not None
    assert "3*" not in ranking.scores.index
    assert "3*" not in ranking.oracle
    assert ranking.notes[0] == "Not ranked, as trained on labels of the target: 3*."
    assert rank_members([MEMBERS[0], labelled]) is None
    # It was validated on other children, and knows those that the others adapt to.
    elsewhere = {**SETTINGS, "target": [["ped_test", "q"]]}
    config = run_settings(data={"source": {"adult": "fold", "ped": "fold"}})
    mixed = Member("mixed", dict.fromkeys(VALIDATORS, 1.0), settings=(elsewhere,), config=config)
    ranking = rank_members([*MEMBERS, mixed])
    assert ranking is not None
    assert "mixed" not in ranking.scores.index
    assert "mixed" in ranking.notes[0]
    with pytest.raises(PedsegError, match="model a is given twice"):
        rank_members([MEMBERS[0], MEMBERS[0]])


def test_the_tables_say_what_they_rest_on() -> None:
    ranking = rank_members(MEMBERS, MODELS)
    assert ranking is not None
    text = "\n".join(table.markdown() for table in ranking_tables(ranking))
    assert "| b | **-0.1000 (1)** | 0.3000 (2) | 3.0000 (1) |" in text  # two are the first of SND
    assert "| c | -0.2000 (2) | 0.1000 (4) | – |" in text
    assert "| entropy | b | 0.0000 | +0.80 (4) |" in text
    assert "| SND | a, b |" in text
    assert "Labels of the target are read for the last two columns alone" in text
    assert "SYNTHETIC" not in text
    assert "A dash" in text
    rows = pd.read_csv(StringIO(ranking_csv(ranking))).set_index(["model", "validator"])
    assert rows.loc[("d", "infomax"), "value"] == 0.4
    assert rows.loc[("d", "infomax"), "rank"] == 1
    assert rows.loc[("a", "entropy"), "correlation"] == pytest.approx(0.8)
    assert "two columns alone" in rows["caption"].iloc[0]


def test_synthetic_data_are_named_everywhere(tmp_path: Path) -> None:
    ranking = rank_members([Member(m.name, m.scores, synthetic=m.name == "c", config=m.config) for m in MEMBERS])
    assert ranking is not None
    page = html(ranking_document(ranking, []), folder=tmp_path)
    assert "Models ranked without labels</h1>" in page
    assert page.count("SYNTHETIC data") == 3  # on top, and in the captions of both tables
    assert ranking_csv(ranking).count("SYNTHETIC data") == 2 * 12


GRID = [
    member(f"{alpha:g} {weight:g}", alpha=alpha, weight=weight, snd=alpha + 10 * weight)
    for alpha in (1.0, 5.0, 3.0)
    for weight in (0.1, 0.01)
]


def test_grids_are_members_that_differ_in_alpha_and_lambda_alone() -> None:
    other_seed = [member(f"s {m.name}", alpha=1 + i % 2, weight=1 + i // 2, seed=1) for i, m in enumerate(GRID[:4])]
    a_line = [member(f"l {alpha}", alpha=alpha, seed=2) for alpha in (1, 2, 3)]
    supervised = Member("m1", dict.fromkeys(VALIDATORS, 1.0), config=run_settings())
    assert find_grids([*GRID, *other_seed, *a_line, supervised]) == [GRID, other_seed]


def test_heat_map(tmp_path: Path) -> None:
    members = GRID[:-1]  # one is missing
    models = [model(m.name, x=0.1 * i) for i, m in enumerate(members)]
    ranking = rank_members(members, models)
    assert ranking is not None
    figure = heat_map(members, ranking, validator="snd", title="A title")
    score, oracle = figure.axes
    values = score.images[0].get_array()
    assert values is not None
    image: NDArray[np.float64] = np.ma.filled(values, np.nan)
    np.testing.assert_allclose(image, np.array([[1.1, math.nan, 5.1], [2, 4, 6]]))  # λ = 0.01 and 0.1, α = 1, 3, 5
    assert [tick.get_text() for tick in score.get_xticklabels()] == ["1", "3", "5"]
    assert [tick.get_text() for tick in score.get_yticklabels()] == ["0.01", "0.1"]
    assert {text.get_text() for text in score.texts} == {"1.100", "2.000", "4.000", "5.100", "6.000"}
    (frame,) = score.patches
    assert isinstance(frame, Rectangle)
    assert to_hex(frame.get_edgecolor()).upper() == BLACK
    assert tuple(np.round(frame.get_center())) == (2, 1)  # around the best
    assert "labels" in oracle.get_title()
    (picture,) = draw_heat_maps(ranking, tmp_path / "some figures", validator="snd")
    assert picture.svg == tmp_path / "some figures" / "heat_map.svg"
    assert "no part in the choice" in picture.caption
    assert picture.data is not None
    assert list(picture.data.columns) == ["member", "alpha", "lambda", "snd", "target dice"]
    assert draw_heat_maps(ranking, tmp_path, validator="dev") == []
    blind = rank_members(members)
    assert blind is not None
    assert len(heat_map(members, blind, validator="snd").axes) == 1


def write_validated(folder: Path, *, value: float | None, labels: bool = False, **changes: Any) -> None:
    """A finished run with validators.json."""
    write_config(folder, run_name=folder.parent.name, data={"synthetic": True})
    write_json(folder / "finished.json", {})
    record = {"settings": {**SETTINGS, **changes}, "target_labels": labels, "synthetic": True}
    write_json(folder / "validators.json", {**record, "scores": {"entropy": value, "dev": None}})


def test_members_are_the_folds_of_a_model(tmp_path: Path) -> None:
    write_validated(tmp_path / "uda" / "fold_0", value=-0.2)
    write_validated(tmp_path / "uda" / "fold_1", value=-0.4)
    write_validated(tmp_path / "other" / "fold_0", value=-0.5)
    write_validated(tmp_path / "renamed" / "fold_0", value=None, labels=True)
    write_json(tmp_path / "other" / "fold_1" / "finished.json", {})
    (tmp_path / "scores.csv").write_text("case\n")
    members = find_members([tmp_path, tmp_path / "uda" / "fold_1", tmp_path / "scores.csv"])
    found = {m.name: m for m in members}
    assert set(found) == {"UDA", "other", "renamed"}
    assert found["UDA"].scores["entropy"] == pytest.approx(-0.3)
    assert found["UDA"].folds == ("fold_0", "fold_1")
    assert math.isnan(found["renamed"].scores["entropy"])
    assert math.isnan(found["UDA"].scores["dev"])
    assert (found["other"].unvalidated, found["UDA"].unvalidated) == (1, 0)
    assert found["renamed"].target_labels
    ranking = rank_members(members)
    assert ranking is not None
    assert ranking.synthetic
    notes = " ".join(ranking.notes)
    assert "Not all finished folds of other" in notes
    assert "on different cases" in notes  # one fold and two
    assert "-0.3000" in printed_scores(members)
    assert "–" in printed_scores(members)


def test_members_measured_on_other_cases_are_named(tmp_path: Path) -> None:
    write_validated(tmp_path / "a" / "fold_0", value=-0.2)
    write_validated(tmp_path / "b" / "fold_0", value=-0.4, source=[])
    alike = rank_members(find_members([tmp_path]))
    assert alike is not None
    assert not alike.notes
    write_validated(tmp_path / "c" / "fold_0", value=-0.4, target=[["ped", "q"]])
    apart = rank_members(find_members([tmp_path]))
    assert apart is not None
    assert "compare with care" in " ".join(apart.notes)
