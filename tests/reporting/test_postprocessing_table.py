"""The table of post-processing beside raw results, by hand."""

from pathlib import Path

import pandas as pd
import pytest

from pedseg.errors import PedsegError
from pedseg.evaluation.postprocessing.folders import Applied
from pedseg.files import write_json
from pedseg.reporting.postprocessing_table import postprocessing_csv, postprocessing_page_table, postprocessing_table
from pedseg.reporting.rows import load_models
from pedseg.runs import RunFolder
from tests.composed import write_config

REGIONS = ("wt", "tc", "et")


def write_scores(path: Path, dice: dict[str, float], *, hd95_mm: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"case": case, "region": r, "dice": value, "hd95_mm": hd95_mm} for case, value in dice.items() for r in REGIONS
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def write_fold(run: RunFolder, dice: dict[str, float], gain: float, *, rules: str = "keep_largest") -> None:
    """Scores of a run, and of a rule set that changes its first case."""
    write_scores(run.variant("plain").scores, dice, hd95_mm=8.0)
    write_config(run.path, data={"synthetic": True})
    first = min(dice)
    write_scores(run.variant(rules).scores, dice | {first: dice[first] + gain}, hd95_mm=6.5)
    changes = {case: dict.fromkeys(REGIONS, int(case == first)) for case in dice}
    Applied(("a rule",), "brats2023", dict.fromkeys(dice, "0" * 64), changes).write(run.variant(rules).path)
    write_json(run.variant(rules).settings, {"rules": rules, "of": "plain"})


def test_rule_sets_stand_beside_the_raw_result(tmp_path: Path) -> None:
    write_fold(RunFolder(tmp_path / "uda" / "fold_0"), {"a": 0.5, "b": 0.6}, 0.3)
    write_fold(RunFolder(tmp_path / "uda" / "fold_1"), {"c": 0.7}, -0.1)
    write_scores(tmp_path / "m2_ped" / "fold_0" / "scores.csv", {"a": 0.5}, hd95_mm=1.0)
    table, notes = postprocessing_table(load_models([tmp_path]))
    assert list(table["model"]) == ["UDA", "UDA"]
    assert list(table["rules"]) == ["raw", "keep_largest"]
    assert list(table["changed"]) == [0, 2]
    assert list(table["mean dice tc"]) == pytest.approx([0.6, 2.0 / 3])
    assert list(table["difference hd95_mm et"]) == pytest.approx([0.0, -1.5])
    assert notes == ["keep_largest: nnU-Net's rule, chosen on held-out source cases."]
    lines = postprocessing_page_table(table, caption="The caption").markdown().splitlines()
    assert lines[0] == "The caption"
    assert lines[4].startswith("| UDA | raw |  | 0.600 | 0.600 | 0.600 | 8.00 |")
    assert lines[5].startswith(r"| UDA | keep\_largest | 2 of 3 | 0.667 (+0.067) |")
    assert "6.50 (-1.50)" in lines[5]
    assert postprocessing_csv(table, caption="C").splitlines()[1].endswith(",C")


def test_rows_of_part_of_the_cases_are_named_and_left_out(tmp_path: Path) -> None:
    write_fold(RunFolder(tmp_path / "uda" / "fold_0"), {"a": 0.5, "b": 0.6}, 0.3, rules="peds2023_ed")
    write_fold(RunFolder(tmp_path / "uda" / "fold_1"), {"c": 0.7}, -0.1, rules="peds2023")
    table, notes = postprocessing_table(load_models([tmp_path]))
    assert table.empty
    assert len(notes) == 2
    assert r"peds2023_ed of UDA is not in the table: 2 of its 3 cases" in notes[1]


def test_a_choice_on_the_evaluated_cases_is_called_optimistic(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "m2_ped" / "fold_0")
    write_fold(run, {"a": 0.5}, 0.1)
    write_json(run.choice, {"keep_largest": [], "on_evaluated_cases": False})
    assert len(postprocessing_table(load_models([tmp_path]))[1]) == 1
    write_json(run.choice, {"keep_largest": ["wt"], "on_evaluated_cases": True})
    assert "Of 2, keep" in postprocessing_table(load_models([tmp_path]))[1][1]


def test_without_post_processing_there_is_no_table(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", {"a": 0.5}, hd95_mm=1.0)
    table, notes = postprocessing_table(load_models([tmp_path / "a.csv"]))
    assert table.empty
    assert notes == []
    run = RunFolder(tmp_path / "uda" / "fold_0")
    write_fold(run, {"a": 0.5}, 0.1)
    (run.variant("keep_largest").path / "rules.json").unlink()
    with pytest.raises(PedsegError, match=r"rules\.json is missing"):
        postprocessing_table(load_models([tmp_path / "uda"]))
