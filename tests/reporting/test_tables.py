"""Tables from scores worked out by hand."""

from pathlib import Path

import pandas as pd
import pytest

from pedseg.reporting.rows import Model
from pedseg.reporting.tables import (
    beside_paper,
    marks_of,
    printed,
    ranks,
    score_table,
    summarise,
    to_latex,
    write_table,
)


def long(values: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Scores of cases: Dice and HD95, the same for all regions."""
    return pd.DataFrame(
        {"case": case, "region": region, "dice": dice, "hd95_mm": hd}
        for case, (dice, hd) in values.items()
        for region in ("wt", "tc", "et")
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    dice = {"1": 0.2, "3": 0.1, "2": 0.4, "4": 0.5, "1*": 0.1, "2*": 0.3, "3*": 0.3, "UDA": 0.2, "uda/seed=1": 0.05}
    return summarise([Model(name, long({"a": (value, 3.0)})) for name, value in dice.items()])


def test_summary_by_hand() -> None:
    model = Model("3*", long({"a": (0.5, 10.0), "b": (0.9, 2.0), "c": (0.1, 3.0)}))
    row = summarise([model]).loc["3*"]
    assert row["mean dice", "tc"] == pytest.approx(0.5)
    assert row["median hd95_mm", "et"] == 3.0
    assert row["mean hd95_mm", "wt"] == 5.0
    assert summarise([model], without=frozenset({"c"})).loc["3*"]["mean dice", "wt"] == pytest.approx(0.7)


def test_a_region_without_scores_is_a_dash() -> None:
    scores = long({"a": (0.5, 1.0)})
    table = summarise([Model("x", scores[scores["region"] != "et"]), Model("y", scores)])
    assert printed(table).loc["x"]["mean dice", "et"] == "–"
    assert list(marks_of(table)["mean dice", "et"]) == [0, 0]  # it is alone, so that nothing is best
    assert "–" in score_table(table, name="t").markdown()


def test_best_values_are_marked_in_each_group_apart(table: pd.DataFrame) -> None:
    # adult data: 1, 3 · children alone: 2, 4 · without deep supervision: the rest, where a tie is best twice
    assert list(ranks(table)["mean dice", "wt"]) == [1, 2, 2, 1, 0, 1, 1, 2, 0]


def test_ties_and_worst_values_are_not_marked(table: pd.DataFrame) -> None:
    marks = marks_of(table)
    assert list(marks["mean dice", "wt"]) == [1, 0, 0, 1, 0, 0, 0, 2, 0]
    assert set(marks["mean hd95_mm", "wt"]) == {0}


def test_markdown(table: pd.DataFrame) -> None:
    text = score_table(table, name="table3", caption="Table 3. Words.", second=True).markdown()
    assert text.startswith("Table 3. Words.\n\n| model | mean DSC ET |")
    assert "| 4 | **0.500** |" in text
    assert "| UDA | <u>0.200</u> |" in text
    assert r"| 1\* | 0.100 |" in text
    assert "<u>" not in score_table(table, name="table2").markdown()


def test_latex(table: pd.DataFrame) -> None:
    text = to_latex(table.rename(index={"1": "a_b&c"}), caption="50 % of ET < 60 mm³", second=True)
    assert r"4 & \textbf{0.500} &" in text
    assert r"UDA & \underline{0.200} &" in text
    assert r"a\_b\&c & " in text
    assert r"\caption{50 \% of ET $<$ 60 mm$^3$}" in text
    assert text.count(r"\\") == 2 + len(table)


def test_beside_the_paper_marks_what_differs() -> None:
    text = beside_paper(summarise([Model("UDA", long({"a": (0.58, 8.9)}))]), number=2).markdown()
    assert "| UDA | paper | 0.580 | 0.846 |" in text
    assert "|  | this run | 0.580 | **0.580** |" in text
    assert "|  | difference |  | -0.266 |" in text
    assert len(text.splitlines()) == 5


def test_files(table: pd.DataFrame, tmp_path: Path) -> None:
    paths = write_table(table, tmp_path, name="table2", caption="SYNTHETIC", second=False)
    assert {path.name for path in paths} == {"table2.md", "table2.tex", "table2.csv"}
    assert all("SYNTHETIC" in path.read_text() for path in paths)
    read = pd.read_csv(tmp_path / "table2.csv", index_col="model")
    assert read.loc["UDA", "mean dice et"] == 0.2
    assert read.loc["uda/seed=1", "group"] == "without deep supervision"
