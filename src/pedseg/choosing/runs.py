"""Validators of trained runs: ``validators.json`` of each variant, and the agreement of a run with the other runs.

Beside the scores of a network stand those of the rule TC := WT on it (``control``), which is not chosen among.

Of the target only images are opened: with or without labels on disk the file is the same, bit for bit.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from pedseg.choosing.core_share import CoreShare, core_share
from pedseg.choosing.measure import SourceCase, TargetCase, measure_source, measure_target
from pedseg.choosing.plan import Plan
from pedseg.choosing.published_sizes import published_sizes
from pedseg.choosing.reliability import reliability
from pedseg.choosing.scores import (
    FEWEST_CASES,
    Masks,
    certainty,
    deep_embedded_validation,
    importance,
    infomax,
    majority,
    mean_dice,
    probe_domains,
    soft_neighbourhood_density,
)
from pedseg.choosing.validators import VALIDATORS, read_validators
from pedseg.data import CohortStore, StoredCase
from pedseg.data.selection import Chosen
from pedseg.errors import PedsegError
from pedseg.files import atomic_path, write_json
from pedseg.inference.variants import variant_predictor
from pedseg.settings.population import Population

FEWEST_RUNS = 2  # that a run is compared with another
Scores = dict[str, float | None]
_Packed = tuple[NDArray[np.int64], NDArray[np.uint8]]  # shape of masks, and their bits


def validate_run(plan: Plan, *, device: torch.device) -> None:
    """Measure a run on its cases; write its masks of the target and then validators.json.

    The agreement with other runs is not known yet: `compare_runs` adds it.

    Raises:
        PedsegError: a case is not in the store, a file is damaged, or the checkpoint cannot be used.
    """
    predictor = variant_predictor([plan.run], device=device, settings=plan.prediction)
    source = [measure_source(predictor, case, seed=plan.seed) for case in _track(plan, plan.source, "source")]
    target = [measure_target(predictor, case, seed=plan.seed) for case in _track(plan, plan.target, "target")]
    share = core_share([case.core for case in source], [case.core for case in target])
    scores, details = score(source, target, plan.population, share)
    core = [case.control for case in source if case.control], [case.control for case in target if case.control]
    control, _ = score(*core, plan.population, share)
    details["core_share"] = asdict(share) if share else None
    details["reliability"] = reliability([case.binned for case in source])
    plan.run.validators.unlink(missing_ok=True)  # it belongs to the masks that are replaced
    plan.run.reliability.unlink(missing_ok=True)
    _write_masks(plan, [case.masks for case in target])
    write_json(
        plan.run.validators,
        {
            "checkpoint": plan.checkpoint,
            "settings": plan.settings,
            "target_labels": plan.target_labels,
            "synthetic": plan.synthetic,
            "scores": scores,
            "control": control,
            "details": details,
        },
    )


def score(
    source: Sequence[SourceCase],
    target: Sequence[TargetCase],
    population: Population | None,
    share: CoreShare | None = None,
) -> tuple[Scores, dict[str, Any]]:
    """Every validator that one run has by itself, and what it rests on.

    Args:
        source: held-out labelled cases; may be empty.
        target: at least one case.
        population: that the target is thought to be of; None if that is not known.
        share: of TC in WT that the target is estimated to have; None if that is not known.

    Returns:
        A value for each of `VALIDATORS`, higher is better, None where it cannot be had; and the numbers of samples.
    """
    confidences = [case.confidence for case in target]
    flips = [case.flip_agreement for case in target if case.flip_agreement is not None]
    voxels = np.concatenate([case.features.voxels for case in target])
    scores: Scores = dict.fromkeys(VALIDATORS)
    scores["entropy"] = certainty(confidences)
    scores["infomax"] = infomax(confidences)
    soft = [case.soft_dice for case in target if case.soft_dice is not None]
    scores["soft_dice"] = float(np.mean(soft)) if soft else None
    scores["snd"] = soft_neighbourhood_density(voxels)
    scores["flip_agreement"] = float(np.mean(flips)) if flips else None
    if population is not None:
        scores["sizes"] = published_sizes([case.volumes_mm3 for case in target], population)
    if share is not None:
        shares = [core / whole for whole, core, _ in (case.volumes_mm3 for case in target) if whole > 0]
        scores["shares"] = -abs(float(np.mean(shares)) - share.estimated) if shares else None
    details: dict[str, Any] = {"snd_voxels": len(voxels), "compared_with": []}
    if source:
        dice = np.array([case.dice for case in source])
        scores["source_dice"] = float(dice.mean())
        scores |= _domain_scores(source, target, risk=1 - dice)
    return scores, details


def _domain_scores(
    source: Sequence[SourceCase], target: Sequence[TargetCase], *, risk: NDArray[np.float64]
) -> dict[str, float]:
    """Scores that need a probe between the domains; none if it cannot be cross-validated."""
    scores = {}
    for stage in ("decoder", "bottleneck"):
        features = [[case.features.pooled[stage] for case in cases] for cases in (source, target)]
        owners = [np.repeat(np.arange(len(rows)), [len(row) for row in rows]) for rows in features]
        probe = probe_domains(
            np.concatenate(features[0]), np.concatenate(features[1]), source_cases=owners[0], target_cases=owners[1]
        )
        if probe is None:
            return {}
        scores[f"probe_{stage}"] = -probe.accuracy
        if stage == "decoder" and len(source) >= FEWEST_CASES:
            scores["dev"] = deep_embedded_validation(risk, importance(probe, owners[0]))
    return scores


def contradicted_sizes(plan: Plan) -> str | None:
    """What to say where the share of TC that is published contradicts what a validated network's images speak for.

    Raises:
        PedsegError: validators.json is damaged.
    """
    found = read_validators(plan.run.validators).get("details", {}).get("core_share")
    published = plan.population.mean_share_of_wt.get("tc") if plan.population else None
    if found is None or published is None or not (share := CoreShare(**found)).contradicts(published):
        return None
    return (
        f"published sizes say that TC is {published:.2f} of WT, and the images speak for {share.estimated:.2f} (95 % "
        f"interval over cases {share.low:.2f}-{share.high:.2f}); they may not hold of this target, so "
        "choose by another validator, or give --population"
    )


def compare_runs(plans: Sequence[Plan]) -> None:
    """Add to validators.json the agreement of each run with the majority of the other runs on the same target cases.

    The value is the mean Dice between the run's masks and those that more than half of the others mark; of two runs it
    is their own Dice. A run that was trained on labels of the target neither votes nor gets a value, since its vote
    would be a label by another name. Where one run stands alone, what an earlier comparison has left is kept.

    Raises:
        PedsegError: masks are damaged.
    """
    groups: dict[tuple[str, Chosen], list[Plan]] = {}
    for plan in plans:
        if not plan.target_labels:
            groups.setdefault((str(plan.store.resolve()), plan.target), []).append(plan)
    for group in groups.values():
        if len(group) >= FEWEST_RUNS:
            _compare(group)


def _compare(group: Sequence[Plan]) -> None:
    values: list[list[float]] = [[] for _ in group]
    packed = [_read_masks(plan) for plan in group]
    for index in range(len(group[0].target)):
        masks = [_unpack(case[index]) for case in packed]
        for number, own in enumerate(masks):
            values[number].append(mean_dice(own, majority([*masks[:number], *masks[number + 1 :]])))
    identities = [plan.identity for plan in group]
    for number, plan in enumerate(group):
        record = read_validators(plan.run.validators)
        others = sorted([*identities[:number], *identities[number + 1 :]])
        record["scores"]["checkpoint_agreement"] = float(np.mean(values[number]))
        record["details"]["compared_with"] = others
        write_json(plan.run.validators, record)


def _track(plan: Plan, cases: Chosen, domain: str) -> Iterator[StoredCase]:
    stores = {cohort: CohortStore(plan.store / cohort) for cohort, _ in cases}
    opened = [stores[cohort].open(case) for cohort, case in cases]
    yield from track(opened, description=f"  {domain}")


def _write_masks(plan: Plan, masks: Sequence[Masks]) -> None:
    """Masks of the target cases in their order, eight voxels to a byte, each from a byte of its own."""
    bits = np.concatenate([np.packbits(mask) for mask in masks])
    with atomic_path(plan.run.target_masks) as temporary:
        np.savez_compressed(temporary, shapes=np.array([mask.shape for mask in masks]), bits=bits)


def _read_masks(plan: Plan) -> list[_Packed]:
    path = plan.run.target_masks
    try:
        with np.load(path, allow_pickle=False) as file:
            shapes, bits = file["shapes"], file["bits"]
        _check_masks(shapes, bits, cases=len(plan.target))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise PedsegError(f"{path}: cannot be read ({error}); remove it and validate the run again") from error
    ends = np.cumsum(-(-shapes.prod(axis=1) // 8))
    return list(zip(shapes, np.split(bits, ends[:-1]), strict=True))


def _check_masks(shapes: NDArray[Any], bits: NDArray[Any], *, cases: int) -> None:
    if shapes.shape != (cases, 4) or shapes.dtype.kind != "i" or bits.ndim != 1 or bits.dtype != np.uint8:
        raise ValueError("it holds no masks of these cases")
    if (shapes < 1).any() or len(bits) != sum(-(-math.prod(map(int, shape)) // 8) for shape in shapes):
        raise ValueError("its masks have other sizes than it says")


def _unpack(packed: _Packed) -> Masks:
    shape, bits = packed
    return np.unpackbits(bits, count=int(shape.prod())).reshape(shape).astype(bool)
