"""Training, validation and evaluation cases of the twelve models."""

import logging
from pathlib import Path
from typing import Any

import pytest

from pedseg.data.selection import Selection, select_cases
from pedseg.errors import PedsegError
from pedseg.folds import make_folds, write_nnunet_splits

ADULT = tuple(f"BraTS-GLI-{i // 2:05d}-{i % 2:03d}" for i in range(40))  # 20 patients, two sessions each
PED = tuple(f"BraTS-PED-{i:05d}-000" for i in range(15))
CASES = {"adult": ADULT, "ped": PED}

MODELS: dict[str, dict[str, Any]] = {
    "1, 1*": {"source": {"adult": "all"}},
    "2, 2*, 4-8": {"source": {"ped": "fold"}},
    "3, 3*": {"source": {"adult": "fold", "ped": "fold"}},
    "3 with all adults": {"source": {"adult": "all", "ped": "fold"}},
    "uda": {"source": {"adult": "fold"}, "target": {"ped": "fold"}},
    "uda with all adults": {"source": {"adult": "all"}, "target": {"ped": "fold"}},
}


def select(model: str, fold: Any = 1, **settings: Any) -> Selection:
    return select_cases(CASES, fold=fold, evaluation=["ped"], **MODELS[model], **settings)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gets_its_cases(model: str) -> None:
    folds = {cohort: make_folds(ids)[1] for cohort, ids in CASES.items()}
    selection = select(model)

    def expected(parts: dict[str, str]) -> dict[str, tuple[str, ...]]:
        return {c: tuple(sorted(CASES[c])) if part == "all" else folds[c].train for c, part in parts.items()}

    settings = MODELS[model]
    assert selection.source_train == expected(settings["source"])
    assert selection.target_train == expected(settings.get("target", {}))
    assert selection.source_validation == {cohort: folds[cohort].validation for cohort in settings["source"]}
    sees_children = "ped" in settings["source"] or "target" in settings
    assert selection.evaluation == {"ped": folds["ped"].validation if sees_children else PED}
    assert selection.overlap == {}


@pytest.mark.parametrize("model", MODELS)
def test_trained_children_are_never_evaluated(model: str) -> None:
    evaluated: list[str] = []
    for fold in range(5):
        selection = select(model, fold)
        trained = {*selection.source_train.get("ped", ()), *selection.target_train.get("ped", ())}
        assert not trained & set(selection.evaluation["ped"])
        evaluated += selection.evaluation["ped"]
    assert set(evaluated) == set(PED)


def test_fold_all_trains_on_everything() -> None:
    selection = select("uda", "all")
    assert selection.source_train == {"adult": ADULT}
    assert selection.target_train == {"ped": PED}
    assert selection.evaluation == {"ped": ()}
    assert select("1, 1*", "all").evaluation == {"ped": PED}


def test_published_folds_leak_patients_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        selection = select("uda", grouping={"adult": "published"})
    trained = {case[:-4] for case in selection.source_train["adult"]}
    leaked = {case[:-4] for case in selection.source_validation["adult"]} & trained
    assert leaked
    assert len(selection.overlap["adult"]) == len(leaked)
    assert f"{len(leaked)} patients" in caplog.text


def test_patients_said_by_the_user_stay_on_one_side(caplog: pytest.LogCaptureFixture) -> None:
    """Ids that name no patient, of ten people with two sessions each, whose names differ in their spelling."""
    ids = [f"scan{number}" for number in range(20)]
    said = {
        "own": {
            case: f"Pat {number // 2}".upper() if number % 2 else f"Pat {number // 2}"
            for number, case in enumerate(ids)
        }
    }
    for fold in range(5):
        kept = select_cases({"own": ids}, fold=fold, source={"own": "fold"}, patients=said)
        sides = [{int(case[4:]) // 2 for case in part["own"]} for part in (kept.source_train, kept.source_validation)]
        assert not sides[0] & sides[1]
        assert kept.overlap == {}
    assert not caplog.records
    torn = select_cases({"own": ids}, fold=0, source={"own": "fold"}, grouping="published", patients=said)
    assert torn.overlap["own"]


def test_split_files_replace_the_made_folds(tmp_path: Path) -> None:
    folds = make_folds(PED, seed=7)
    write_nnunet_splits(tmp_path / "splits.json", folds)
    selection = select("2, 2*, 4-8", 2, split_files={"ped": tmp_path / "splits.json"})
    assert selection.source_train["ped"] == folds[2].train
    assert selection.evaluation["ped"] == folds[2].validation


def test_small_cohort_can_be_used_whole() -> None:
    selection = select_cases({"adult": ADULT[:2], "ped": PED[:1]}, fold=0, source={"adult": "all"}, evaluation=["ped"])
    assert selection.source_validation == {"adult": ()}
    assert selection.evaluation == {"ped": PED[:1]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": {"teen": "fold"}}, "'teen' has no prepared cases"),
        ({"source": {"adult": "some"}}, "cannot be used as 'some'"),
        ({"source": {"adult": "fold"}, "fold": 7}, r"fold 7 is not in .*0-4"),
        ({"source": {"ped": "fold"}, "target": {"ped": "fold"}}, "both source and target"),
        ({"source": {"ped": "all"}, "evaluation": ["ped"]}, "whose labels it trains on"),
    ],
    ids=["cohort", "part", "fold", "both", "leak"],
)
def test_mistakes_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        select_cases(CASES, **{"fold": 0, **settings})
