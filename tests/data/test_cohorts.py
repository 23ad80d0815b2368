"""Where the cases of a cohort are, and their voxel labels."""

import shutil
from pathlib import Path

import pytest

from pedseg.data.cohorts import cases_of, convention_of, labelled_cases
from pedseg.data.seals import sealed
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json


def test_the_convention_is_what_preparation_settled_on(toy_world: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(toy_world / "store", store)
    assert convention_of(store, "ped", setting="auto").name == "brats2023"
    index = read_json(store / "ped" / "index.json")
    index["convention"] = {"name": "brats2021", "et": [4], "nc": [1], "ed": [2]}
    write_json(store / "ped" / "index.json", sealed(index))
    assert convention_of(store, "ped", setting="auto").et == (4,)
    index |= {"convention": None, "labelled": False}
    write_json(store / "ped" / "index.json", sealed(index))
    assert convention_of(store, "ped", setting="brats_ped2024").et == (1,)


def test_cases_come_in_the_order_wanted(toy_world: Path) -> None:
    ids = [
        case.id
        for case in labelled_cases(toy_world / "ped", [p.name for p in (toy_world / "ped").iterdir()], cohort="ped")
    ]
    assert len(ids) == 6
    wanted = ids[3:0:-1]
    cases = cases_of(toy_world / "ped", wanted, cohort="ped")
    assert [case.id for case in cases] == wanted
    assert not any(case.label for case in cases)
    assert all(case.label for case in cases_of(str(toy_world / "ped"), wanted, cohort="ped", labelled=True))
    assert cases_of(None, [], cohort="ped") == []


def test_what_is_missing_is_named(toy_world: Path, tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match=r"cohort ped has no folder; give paths\.ped=.* PEDSEG_PED="):
        cases_of(None, ["a"], cohort="ped")
    some = [p.name for p in sorted((toy_world / "ped").iterdir()) if p.is_dir()][:2]
    with pytest.raises(PedsegError, match="1 of 3 cases to evaluate are not there"):
        cases_of(toy_world / "ped", [*some, "absent"], cohort="ped")
    shutil.copytree(toy_world / "ped", tmp_path / "ped")
    next((tmp_path / "ped" / some[0]).glob("*seg*")).unlink()
    assert [case.id for case in labelled_cases(tmp_path / "ped", some, cohort="ped")] == some[1:]
    with pytest.raises(PedsegError, match="1 of 2 cases with a label"):
        cases_of(tmp_path / "ped", some, cohort="ped", labelled=True)
