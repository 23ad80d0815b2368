"""Which cases a run is validated on, and whether it has seen labels of the target."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.choosing.plan import Plan, find_runs, make_plan
from pedseg.choosing.validators import VALIDATORS
from pedseg.data.selection import CaseIds, choose_cases
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.inference import Settings
from pedseg.runs import RunFolder, trained_on_labels
from pedseg.settings.variants import Variant
from tests.composed import settings, write_config

PREDICTION = Settings()


def test_cases_are_chosen_by_hash() -> None:
    ids = {"a": [f"case {i}" for i in range(30)], "b": [f"case {i}" for i in range(10)]}
    chosen = choose_cases(ids, 12, seed=0)
    assert chosen == choose_cases({name: some[::-1] for name, some in reversed(ids.items())}, 12, seed=0)
    assert len(set(chosen)) == 12
    assert chosen != choose_cases(ids, 12, seed=1)
    assert chosen[:5] == choose_cases(ids, 5, seed=0)
    fewer = choose_cases({**ids, "a": ids["a"][:-1]}, 12, seed=0)
    assert len(set(chosen) - set(fewer)) <= 1
    assert len(choose_cases({"b": ids["b"]}, 50, seed=0)) == 10


def test_labels_behind_an_initialisation_count(tmp_path: Path) -> None:
    write_config(tmp_path / "m2" / "fold_0", data={"source": {"ped": "fold"}})
    write_config(tmp_path / "m1" / "fold_all", data={"source": {"adult": "all", "ped": None}})
    assert trained_on_labels(settings(data={"source": {"ped": "all"}}), "ped")
    assert not trained_on_labels(settings(), "ped")
    assert trained_on_labels(settings(init={"run": str(tmp_path / "m2" / "fold_0")}), "ped")
    assert not trained_on_labels(settings(init={"run": str(tmp_path / "m1" / "fold_all")}), "ped")
    assert not trained_on_labels(settings(init={"run": str(tmp_path / "gone")}), "ped")


def write_run(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    write_config(run.path, data={"synthetic": True})
    write_json(run.finished, {})
    run.checkpoint.parent.mkdir()
    run.checkpoint.write_bytes(b"weights")
    return run


def plan_of(
    run: RunFolder,
    *,
    held_out: CaseIds,
    target: CaseIds,
    prediction: Settings = PREDICTION,
    cases: int = 2,
    seed: int = 0,
) -> Plan:
    """Of the plain variant."""
    return make_plan(
        run.variant("plain"),
        Variant(),
        held_out=held_out,
        target=target,
        prediction=prediction,
        cases=cases,
        seed=seed,
    )


def test_a_plan_is_current_until_checkpoint_or_settings_change(tmp_path: Path) -> None:
    run = write_run(tmp_path / "uda" / "fold_0")
    place = run.variant("plain")
    held_out, target = {"adult": ["a", "b", "c"]}, {"ped": ["x", "y"]}
    plan = make_plan(
        run.variant("plain"), Variant(), held_out=held_out, target=target, prediction=PREDICTION, cases=2, seed=0
    )
    assert (len(plan.source), len(plan.target)) == (2, 2)
    assert (plan.target_labels, plan.synthetic) == (False, True)
    assert not plan.is_current()
    record = {
        "checkpoint": plan.checkpoint,
        "settings": plan.settings,
        "scores": dict.fromkeys(VALIDATORS),
        "target_labels": False,
        "synthetic": True,
    }
    write_json(place.validators, record)
    assert not plan.is_current()  # without the masks
    place.target_masks.touch()
    assert plan.is_current()
    others: list[dict[str, Any]] = [{"cases": 3}, {"seed": 1}, {"target": {"ped": ["x"]}}]
    others += [{"prediction": Settings(**more)} for more in ({"precision": "bf16"}, {"step": 0.4}, {"adapt_steps": 5})]
    for changed in others:
        settings = {"held_out": held_out, "target": target, "prediction": PREDICTION, "cases": 2, "seed": 0, **changed}
        assert not plan_of(run, **settings).is_current()
    for same in (Settings(mirror=False), Settings(window_batch=4), Settings(adapt_rate=0.1)):
        assert plan_of(run, held_out=held_out, target=target, prediction=same).is_current()
    write_json(place.validators, {**record, "scores": {"snd": 1.0}})
    assert not plan.is_current()  # without the others
    write_json(place.validators, {**record, "settings": {**plan.settings, "format": 1}})
    assert not plan.is_current()  # without the published sizes
    write_json(place.thresholds, {"thresholds": {"wt": 0, "tc": 0.5, "et": 0}})
    assert not plan_of(run, held_out=held_out, target=target).is_current()
    place.thresholds.unlink()
    run.checkpoint.write_bytes(b"other weights")
    assert not make_plan(
        run.variant("plain"), Variant(), held_out=held_out, target=target, prediction=PREDICTION, cases=2, seed=0
    ).is_current()


def test_both_sides_cannot_be_one_cohort(tmp_path: Path) -> None:
    run = write_run(tmp_path / "uda" / "fold_0")
    with pytest.raises(PedsegError, match="is source and target"):
        make_plan(
            run.variant("plain"),
            Variant(),
            held_out={"ped": ["x"]},
            target={"ped": ["y"]},
            prediction=PREDICTION,
            cases=2,
            seed=0,
        )
    with pytest.raises(PedsegError, match="no image of the target"):
        make_plan(
            run.variant("plain"), Variant(), held_out={}, target={"ped": []}, prediction=PREDICTION, cases=2, seed=0
        )


def test_runs_are_found_once(tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "a b" / "fold_0"), write_run(tmp_path / "c" / "fold_all")
    two.finished.unlink()
    found, left_out = find_runs([tmp_path, one.path])
    assert [(place.run, place.name) for place in found] == [(one.path, "plain")]
    assert left_out == [(two.path, "it is not finished; give its command again to continue it")]
    with pytest.raises(PedsegError, match="no fold_"):
        find_runs([tmp_path / "gone"])
