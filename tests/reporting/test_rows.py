"""Models out of run folders and CSV files."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pedseg.errors import PedsegError
from pedseg.reporting.rows import Model, load_models
from tests.composed import write_config

UDA = {"source": {"adult": "fold", "ped": None}, "target": ["ped"], "evaluation": "ped", "synthetic": True}
ADULT = {"source": {"adult": "fold", "ped": None}, "target": [], "evaluation": "ped"}


def scores(*cases: str, dice: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        {"case": case, "region": region, "dice": dice, "hd95_mm": 1.0}
        for case in cases
        for region in ("wt", "tc", "et")
    )


def write_run(folder: Path, table: pd.DataFrame, *, name: str | None, data: dict[str, Any] | None = None) -> None:
    folder.mkdir(parents=True)
    table.to_csv(folder / "scores.csv", index=False)
    if name:
        write_config(folder, run_name=name, data=data or {})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """UDA in two folds, an ablation of it, and model 1 of one fold."""
    root = tmp_path / "my runs"
    for fold, case in enumerate("ab"):
        write_run(root / "uda" / f"fold_{fold}", scores(case), name="uda", data=UDA)
    write_run(root / "uda" / "seed=1" / "fold_0", scores("a", dice=0.7), name="uda/seed=1", data=UDA)
    write_run(root / "m1_adult" / "fold_3", scores("a", "b"), name="m1_adult", data=ADULT)
    return root


def test_folds_of_a_run_are_put_together(runs: Path) -> None:
    first, uda, ablation = load_models([runs])
    assert (first.name, uda.name, ablation.name) == ("1", "UDA", "uda/seed=1")
    assert uda.cases == {"a", "b"}
    assert (uda.coverage, uda.complete) == ("2 cases, 2 of 5 folds", False)
    assert uda.synthetic
    assert not first.synthetic
    assert ablation.cases == {"a"}


def test_a_model_that_sees_no_child_needs_no_folds(runs: Path) -> None:
    first = load_models([runs])[0]
    assert (first.coverage, first.complete) == ("2 cases", True)


def test_fold_all_is_complete(tmp_path: Path) -> None:
    write_run(tmp_path / "m2_ped" / "fold_all", scores("a"), name="m2_ped")
    assert load_models([tmp_path])[0].complete


@pytest.mark.parametrize("below", ["", "uda/seed=1", "uda/seed=1/fold_0", "uda/seed=1/fold_0/scores.csv"])
def test_a_part_of_the_runs_keeps_its_name(runs: Path, below: str) -> None:
    assert "uda/seed=1" in [model.name for model in load_models([runs / below])]


def test_a_renamed_folder_and_one_without_config_go_by_their_path(runs: Path) -> None:
    (runs / "uda" / "seed=1").rename(runs / "second try")
    write_run(runs / "imported" / "nnunet" / "fold_0", scores("a"), name=None)
    assert {model.name for model in load_models([runs])} == {"1", "UDA", "second try", "imported/nnunet"}
    assert [model.name for model in load_models([runs / "second try"])] == ["second try"]


def test_csv_files(tmp_path: Path) -> None:
    wide = {f"{metric}-{region}": [0.5, 0.25] for metric in ("Dice", "HD95") for region in ("ET", "TC", "WT")}
    pd.DataFrame({**wide, "ID": ["a.nii.gz", "b.nii.gz"]}).to_csv(tmp_path / "model3_nods.csv")
    (tmp_path / "winner").mkdir()
    scores("a", "b").assign(region=lambda t: t["region"].str.upper()).to_csv(tmp_path / "winner" / "scores.csv")
    (tmp_path / "notes.csv").write_text("x,y\n1,2\n")
    models = load_models([tmp_path])
    assert [model.name for model in models] == ["3*", "winner"]
    assert all(model.cases == {"a", "b"} and model.complete for model in models)
    assert set(models[0].scores["region"]) == {"et", "tc", "wt"}
    assert set(models[1].scores["region"]) == {"et", "tc", "wt"}
    assert [model.name for model in load_models([tmp_path / "winner" / "scores.csv"])] == ["winner"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,dice\na,1\n", "no column region"),
        ("", "cannot be read as scores"),
        ("case,region,dice,hd95_mm\n", "has no rows"),
        ("case,region,dice,hd95_mm\na,et,1.5,0\n", "dice 1.5 is no number from 0 to 1"),
        ("case,region,dice,hd95_mm\na,et,1,-1\n", "hd95_mm -1 is no number from 0;"),
        ("case,region,dice,hd95_mm\na,../x,1,0\n", "region '../x' is none of"),
        ("case,region,dice,hd95_mm\na,et,1,0\na.nii.gz,ET,1,0\n", "lists case a twice"),
        ("case,region,dice,hd95_mm\na,et,../../x,0\nb,et,1,0\n", "dice '../../x' is no number"),
    ],
)
def test_unusable_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(PedsegError, match=message):
        load_models([tmp_path / "x.csv"])


def test_cases_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    for name, case in (("a", "M\u00fcller"), ("b", "Mu\u0308ller")):
        scores(case).to_csv(tmp_path / f"{name}.csv", index=False)
    first, second = load_models([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert first.cases == second.cases == {"M\u00fcller"}


def test_what_cannot_be_reported(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PedsegError, match=r"empty: .*pedseg train"):
        load_models([tmp_path / "empty"])
    with pytest.raises(PedsegError, match="no such file"):
        load_models([tmp_path / "absent"])
    with pytest.raises(PedsegError, match="UDA is given twice"):
        load_models([runs, runs / "uda" / "fold_0"])
    write_run(runs / "uda" / "fold_2", scores("a"), name="uda")
    with pytest.raises(PedsegError, match="case a is scored by two folds"):
        load_models([runs])


def test_a_model_without_config_is_of_children() -> None:
    assert Model("x", scores("a")).cohort == "ped"


def test_definitions_are_named_and_not_mixed(tmp_path: Path) -> None:
    for name, definition in (("a", "brats2023"), ("b", "brats2025"), ("c", None)):
        scores("x").assign(definition=definition).to_csv(tmp_path / f"{name}.csv", index=False)
    assert [model.definition for model in load_models([tmp_path / "a.csv", tmp_path / "c.csv"])] == ["brats2023"] * 2
    assert load_models([tmp_path / "b.csv"])[0].definition == "brats2025"
    with pytest.raises(PedsegError, match="follow brats2023 and brats2025"):
        load_models([tmp_path])
