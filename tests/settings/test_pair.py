"""Which cohorts a run reads, and where they lie, by whatever names."""

import json
from pathlib import Path

import pytest

from pedseg.errors import PedsegError
from pedseg.settings.pair import variable
from pedseg.settings.run import RunSettings
from tests.composed import plain, settings

AFRICANS = ("cohort=[adult,africa]", "data.pair.target=africa")


def test_experiments_speak_of_any_pair() -> None:
    data = settings("experiment=m3_mixed", *AFRICANS).data
    assert (list(data.labelled_source), data.target, data.evaluation) == (["adult", "africa"], (), "africa")
    data = settings("experiment=uda", *AFRICANS).data
    assert (list(data.labelled_source), data.target, data.evaluation) == (["adult"], ("africa",), "africa")
    data = settings("experiment=uda_released_2024", "data.pair={source: ped, target: adult}").data
    assert (list(data.labelled_source), data.opposed, data.evaluation) == (["ped", "adult"], ("adult",), "adult")


def test_the_default_pair_is_that_of_the_paper() -> None:
    data = settings("experiment=uda").data
    assert (data.labelled_source, data.target, data.evaluation) == ({"adult": "fold"}, ("ped",), "ped")


def test_a_cohort_by_its_name_comes_before_its_role() -> None:
    given = settings("experiment=m3_mixed", "data.source.adult=all", "data.evaluation=adult")
    assert given.data.source == {"adult": "all", "ped": "fold"}
    assert given.data.evaluation == "adult"
    assert given.run_name == "m3_mixed/data.evaluation=adult,data.source.adult=all"


def test_settings_that_are_read_back_stay_as_they_are() -> None:
    run = settings("experiment=uda", *AFRICANS)
    assert RunSettings.of(json.loads(json.dumps(run.as_json()))) == run


@pytest.mark.parametrize("name", ["africa", "Clinic-A", "set 2", "ß"])
def test_folders_of_any_cohort(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own is named by paths, by the cohort, or by the environment, in this order."""
    changed = {"cohorts": {name: {"labelled": False}}}
    assert settings(data=changed).data.cohorts[name].folder is None
    monkeypatch.setenv(variable(name), "/of/environment")
    assert settings(data=changed).data.cohorts[name].folder == Path("/of/environment")
    changed["cohorts"][name]["folder"] = "/of/cohort"  # type: ignore[assignment]
    assert settings(data=changed).data.cohorts[name].folder == Path("/of/cohort")
    assert settings(data=changed, paths={name: "/of/paths"}).data.cohorts[name].folder == Path("/of/paths")


def test_variables_are_names_that_a_shell_takes() -> None:
    assert [variable(name) for name in ("ped", "ped_test", "Clinic-A")] == [
        "PEDSEG_PED", "PEDSEG_PED_TEST", "PEDSEG_CLINIC_A",
    ]  # fmt: skip


def test_data_paths_never_enter_the_name_of_a_run() -> None:
    own = "+data.cohorts.Clinic-A.folder=/elsewhere"
    plain = settings("experiment=uda", "cohort=[adult,ped,own]", "paths.own=/a b", "paths.adult=/c", own)
    assert plain.run_name == "uda"
    assert plain.data.cohorts["Clinic-A"].folder == Path("/elsewhere")
    assert settings("experiment=uda", *AFRICANS).run_name == "uda/data.pair.target=africa"


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (("paths.africa=/x",), r"paths: africa is not among .*; choose it by cohort=\[adult,ped,africa\]"),
        (
            ("data.pair.target=pedd",),
            r"data\.evaluation: pedd .* did you mean ped\? .*\+data\.cohorts\.pedd\.folder",
        ),
        (("data.pair.target=null",), r"data\.evaluation: .*data\.pair\.target is null; give one of adult, ped"),
        (("+data.cohorts.target.folder=/x",), r"data\.cohorts\.target.*stands for a cohort of data\.pair"),
        (("data.cohorts.mine.folder=/x",), r"use \+data\.cohorts\.mine\.folder=/x"),
    ],
)
def test_what_is_declared_nowhere_is_refused_with_what_declares_it(overrides: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(PedsegError, match=wanted):
        settings(*overrides)


def test_runs_of_before_name_their_pair() -> None:
    """They have no pair and no population: adults and children of BraTS, as it was."""
    from pedseg.settings.history import lifted

    old = plain("experiment=uda")
    new = RunSettings.of(old)
    del old["population"], old["data"]["pair"]
    for cohort in old["data"]["cohorts"].values():
        del cohort["population"]
    lift = RunSettings.of(lifted(old))
    assert lift.population == new.population
    assert (lift.data.source, lift.data.target, lift.data.pair) == (new.data.source, new.data.target, new.data.pair)
