"""Sequences that look exchanged in single cases of a cohort, by what its other cases are like."""

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from pedseg.errors import Problem, Severity
from pedseg.imaging.integrity import ALONE, FIX, PAIRS, CaseCheck, told
from pedseg.labels import CaseEvidence, LabelConvention

LIKELY = math.log(100)  # of the ratio of likelihoods, exchanged to right, from which on it is said
FEW = 5  # cases, below which each is judged by itself
LEAST_SPREAD = 1 / 3  # of the median: cohorts are not more alike than that
ENOUGH = 50  # voxels of enhancing tumour, and of the rest of it
MOST = 0.5  # share of a cohort above which it is said once


def find_exchanged(
    cohort: str, checks: Mapping[str, CaseCheck], convention: LabelConvention | None
) -> Iterator[Problem]:
    """Warn of each case whose sequences look exchanged.

    The tail of a pair (`measure_contrasts`) has the other sign in a case whose files are exchanged, and so has the
    difference of enhancement between the enhancing and the other tumour, where there is a label. Each case is compared
    with the cohort's median and with the same of the other sign, by normal distributions of the cohort's spread
    (from the median absolute deviation).

    Args:
        cohort: its name.
        checks: of its cases.
        convention: of its labels; None for none.
    """
    leads = dict(_leads(checks, convention)) if convention else {}
    for name in PAIRS:
        tails = {case: check.contrasts[name] for case, check in checks.items() if name in check.contrasts}
        found = _found(tails, leads if name == "t1" else {})
        if len(found) > max(1, MOST * len(tails)):
            evidence = f"the tail of their difference says so in {len(found)} of {len(tails)} cases"
            yield Problem(cohort, "", told(name, evidence), FIX, Severity.WARNING)
            continue
        typical = f", of the cohort {np.median(list(tails.values())):+.1f}" if len(tails) >= FEW else ""
        for case in found:
            evidence = f"the tail of their difference is {tails[case]:+.1f}{typical}{_labelled(name, leads.get(case))}"
            yield Problem(case, "", told(name, evidence), FIX, Severity.WARNING)


def _found(tails: Mapping[str, float], leads: Mapping[str, float]) -> list[str]:
    """Cases that look exchanged."""
    if len(tails) < FEW:
        return [case for case, tail in tails.items() if tail < ALONE]
    ratios, beside = _ratios(tails), _ratios(leads) if len(leads) >= FEW else {}
    return [case for case in tails if ratios[case] + beside.get(case, 0.0) > LIKELY]


def _labelled(name: str, lead: float | None) -> str:
    if name != "t1" or lead is None:
        return ""
    return f"; its enhancing tumour enhances by {lead:+.1f} z-scores more than the rest"


def _leads(checks: Mapping[str, CaseCheck], convention: LabelConvention) -> Iterator[tuple[str, float]]:
    """By how much the enhancing tumour of each case enhances more than the other."""
    for case, check in checks.items():
        if check.evidence is None:
            continue
        inner = _mean(check.evidence, convention.et)
        outer = _mean(check.evidence, (*convention.nc, *convention.ed))
        if inner is not None and outer is not None:
            yield case, inner - outer


def _mean(evidence: CaseEvidence, labels: Iterable[int]) -> float | None:
    there = [label for label in labels if label in evidence.voxels]
    counts = [evidence.voxels[label] for label in there]
    if sum(counts) < ENOUGH:
        return None
    return float(np.average([evidence.enhancement[label] for label in there], weights=counts))


def _ratios(values: Mapping[str, float]) -> dict[str, float]:
    """Logarithm of how much likelier each value is with the other sign."""
    each = np.array(list(values.values()))
    middle = float(np.median(each))
    usual = abs(middle)
    spread = max(1.4826 * float(np.median(np.abs(each - middle))), LEAST_SPREAD * usual, 1e-6)
    return {case: -2 * value * usual / spread**2 for case, value in values.items()}
