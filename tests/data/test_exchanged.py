"""Sequences that are exchanged in single cases: found by the other cases, and in right ones nothing is."""

from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.cases import Case, find_cases
from pedseg.data.exchanged import find_exchanged
from pedseg.imaging.integrity import CaseCheck, check_case
from pedseg.labels import CaseEvidence, LabelConvention, get_convention

CONVENTION = get_convention("brats2023")
T1, T2 = (1, 0, 2, 3), (0, 1, 3, 2)


def checked(case: Case, order: tuple[int, ...] = (0, 1, 2, 3)) -> CaseCheck:
    return check_case(replace(case, images=tuple(case.images[n] for n in order)), convention=CONVENTION)


@pytest.fixture(scope="module")
def cases(toy_world: Path) -> list[Case]:
    return list(find_cases(toy_world / "ped", cohort="ped", labelled=True).cases)


def said(checks: dict[str, CaseCheck], convention: LabelConvention | None = None) -> list[tuple[str, str]]:
    return [(row.case, row.what.partition(":")[0]) for row in find_exchanged("ped", checks, convention)]


@pytest.mark.parametrize("convention", [None, CONVENTION])
def test_single_cases_are_found_by_the_others(cases: list[Case], convention: LabelConvention | None) -> None:
    right = {case.id: checked(case) for case in cases}
    assert not said(right, convention)
    for case in cases[:3]:
        assert said({**right, case.id: checked(case, T2)}, convention) == [(case.id, "t2w and t2f look exchanged")]
        assert said({**right, case.id: checked(case, T1)}, convention) == [(case.id, "t1c and t1n look exchanged")]


def test_a_whole_cohort_is_said_once(cases: list[Case]) -> None:
    assert said({case.id: checked(case, T2) for case in cases}) == [("ped", "t2w and t2f look exchanged")]


def of(tail: float, lead: float | None = None) -> CaseCheck:
    check = checked_nothing()
    evidence = None if lead is None else CaseEvidence({1: 100, 3: 100}, {1: 0.0, 3: lead})
    return replace(check, contrasts={"t1": tail}, evidence=evidence)


def checked_nothing() -> CaseCheck:
    from pedseg.imaging.copies import Identity

    return CaseCheck(Identity("x", "x"))


def test_the_label_speaks_for_and_against() -> None:
    """What the images leave open is decided by whether the enhancing tumour enhances."""
    right = {f"c{n}": of(1.0 + n / 10, 1.5 + n / 10) for n in range(6)}
    assert not said(right, CONVENTION)
    assert not said({**right, "d": of(-0.2, 1.6)}, CONVENTION)
    assert said({**right, "d": of(-0.2, -1.6)}, CONVENTION) == [("d", "t1c and t1n look exchanged")]
    (row,) = find_exchanged("ped", {**right, "d": of(-1.3, -1.6)}, CONVENTION)
    assert "difference is -1.3, of the cohort +1.2; its enhancing tumour enhances by -1.6 z-scores" in row.what


def test_the_real_cases(shared: Path) -> None:
    found = {case.id: case for case in find_cases(shared / "real", cohort="real", labelled=False).cases}
    assert len(found) == 2
    assert not said({name: checked(case) for name, case in found.items()})
    for order, pair in ((T1, "t1c and t1n look exchanged"), (T2, "t2w and t2f look exchanged")):
        for name, case in found.items():
            assert said({name: checked(case, order)}) == [(name, pair)]
