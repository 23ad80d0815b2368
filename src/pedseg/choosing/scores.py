"""Scores that choose a model without labels of the target: pure functions of arrays, each the higher the better.

A baseline reads labels of held-out source cases; everything else reads images of the target, or of both domains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pedseg.metrics.empty import EMPTY_2023
from pedseg.metrics.overlap import count_voxels, dice

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]  # (regions, D, H, W)

TEMPERATURE = 0.05  # Saito et al. 2021, for every task
MOST_FOLDS = 5  # of the probe's cross-validation
FEWEST_CASES = 2  # of each domain that a probe, and of the source that a control variate needs
TINY = 1e-12  # keeps a vector of zeros from being divided by its length


@dataclass(frozen=True, slots=True)
class Confidence:
    """Summary of the predictions inside one brain.

    Attributes:
        probability: (regions,) mean probability.
        entropy: (regions,) mean binary entropy in nats.
    """

    probability: Floats
    entropy: Floats


def confidence(logits: NDArray[np.floating]) -> Confidence:
    """Summarise logits (regions, n) of the voxels of one brain."""
    z = logits.astype(np.float64)
    yes = expit(z)
    entropy = yes * np.logaddexp(0, -z) + (1 - yes) * np.logaddexp(0, z)
    return Confidence(yes.mean(axis=1), entropy.mean(axis=1))


def certainty(cases: Sequence[Confidence]) -> float:
    """Minus the mean binary entropy (nats) over brain voxels, regions and cases (Morerio et al. 2018).

    Every case weighs the same. A network that finds no tumour anywhere is certain too: read it beside `infomax`.
    """
    return -float(np.mean([case.entropy for case in cases]))


def infomax(cases: Sequence[Confidence]) -> float:
    """Entropy of the mean prediction minus the mean entropy, in nats, mean over regions (Krause et al. 2010).

    It is the mutual information of voxel and prediction: 0 for predictions that are all alike, ln 2 for certain ones
    half of which are positive. Every case weighs the same.
    """
    mean = np.mean([case.probability for case in cases], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 log 0
        marginal = -np.nan_to_num(mean * np.log(mean)) - np.nan_to_num((1 - mean) * np.log1p(-mean))
    return float(np.mean(marginal - np.mean([case.entropy for case in cases], axis=0)))


def soft_dice_confidence(logits: NDArray[np.floating]) -> float | None:
    """Soft Dice of probabilities and the masks that they give, mean over regions (Borges et al. 2024, SDC).

    ``2 Σ p y / (Σ p + Σ y)`` with y = 1 where p > 0.5: what the Dice is expected to be if probabilities mean what they
    say. A region of which nothing is found has no say.

    Args:
        logits: (regions, n) of the voxels of one brain.

    Returns:
        None if nothing is found of any region.
    """
    values = []
    for z in logits.astype(np.float64):
        probability, found = expit(z), z > 0
        if found.any():
            values.append(2 * probability[found].sum() / (probability.sum() + found.sum()))
    return float(np.mean(values)) if values else None


def soft_neighbourhood_density(features: NDArray[np.floating], *, temperature: float = TEMPERATURE) -> float:
    """Mean entropy (nats) of how each sample's similarity spreads over the others (SND; Saito et al. 2021, eqs. 1-3).

    Rows are ``softmax(cos(f_i, f_j) / temperature)`` over j ≠ i. At most ln(n - 1), so that only scores of as many
    samples compare.

    Args:
        features: (n, channels), n ≥ 2; rows are divided by their length here.
        temperature: of the softmax.
    """
    f = features.astype(np.float64)
    f /= np.maximum(np.linalg.norm(f, axis=1, keepdims=True), TINY)
    scaled = f @ f.T / temperature
    np.fill_diagonal(scaled, -np.inf)
    scaled -= scaled.max(axis=1, keepdims=True)
    weight = np.exp(scaled)
    total = weight.sum(axis=1)
    np.fill_diagonal(scaled, 0)  # its weight is 0
    return float(np.mean(np.log(total) - (weight * scaled).sum(axis=1) / total))


@dataclass(frozen=True, slots=True)
class Probe:
    """What a fresh linear classifier of the domains says of features that it was not fitted to.

    Attributes:
        accuracy: balanced accuracy, 0.5 at chance.
        source: (n,) logits of "target" for the source's rows.
        target: (m,) the same for the target's.
    """

    accuracy: float
    source: Floats
    target: Floats


def probe_domains(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    *,
    source_cases: NDArray[np.integer],
    target_cases: NDArray[np.integer],
) -> Probe | None:
    """Cross-validate a logistic regression that tells the domains apart (the idea of Ben-David et al. 2007's distance).

    Features are standardised, the two domains weigh the same, the penalty is L2 with C = 1. All rows of a case are in
    one fold. Unlike the classifier that trained against the features it cannot have been fooled into a constant.

    Args:
        source: (n, channels).
        target: (m, channels).
        source_cases: (n,) number of the case, from 0, that a row comes from.
        target_cases: (m,) the same.

    Returns:
        None if a domain has fewer than two cases.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    cases = [len(np.unique(owner)) for owner in (source_cases, target_cases)]
    folds = min(MOST_FOLDS, *cases)
    if folds < FEWEST_CASES:
        return None
    features = np.concatenate([source, target]).astype(np.float64)
    domain = np.repeat([0, 1], [len(source), len(target)])
    fold = np.concatenate([source_cases, target_cases]) % folds
    logits = np.empty(len(features))
    for held_out in range(folds):
        model: Any = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        model.fit(features[fold != held_out], domain[fold != held_out])
        logits[fold == held_out] = model.decision_function(features[fold == held_out])
    on_source, on_target = logits[domain == 0], logits[domain == 1]
    return Probe(float(np.mean([np.mean(on_source <= 0), np.mean(on_target > 0)])), on_source, on_target)


def importance(probe: Probe, source_cases: NDArray[np.integer]) -> Floats:
    """Density ratio target / source of each source case, the mean over its rows.

    The probe is fitted with equal weight on both domains, so that the ratio is the exponential of its logit.
    """
    ratio = np.exp(probe.source)
    return np.bincount(source_cases, weights=ratio) / np.bincount(source_cases)


def deep_embedded_validation(risk: Floats, weights: Floats) -> float:
    """Minus the importance-weighted source risk with a control variate (DEV; You et al. 2019, Algorithm 1).

    ``R = mean(w l) + η mean(w) - η`` with ``η = -cov(w l, w) / var(w)``: the mean of the weights is known to be 1, and
    what it misses by corrects the risk.

    Args:
        risk: (n,) of held-out source cases, here 1 - Dice; n ≥ 2.
        weights: (n,) density ratio target / source of each.
    """
    weighted = risk * weights
    covariance = np.cov(weighted, weights, ddof=1)
    eta = -covariance[0, 1] / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    return -float(weighted.mean() + eta * weights.mean() - eta)


def mean_dice(first: Masks, second: Masks) -> float:
    """Dice of two sets of masks, mean over regions; 1 where both are empty."""
    counts = [count_voxels(a, b) for a, b in zip(first, second, strict=True)]
    return float(np.mean([EMPTY_2023.resolve("dice", dice(count), count) for count in counts]))


def agreement(prediction: Masks, others: Sequence[Masks]) -> float:
    """Mean Dice between a prediction and others of the same case, such as those of mirrored images, mirrored back.

    A network that never finds anything agrees with itself: read it beside `infomax`.
    """
    return float(np.mean([mean_dice(prediction, other) for other in others]))


def majority(votes: Sequence[Masks]) -> Masks:
    """Voxels that more than half of the votes mark; a tie marks nothing."""
    counts = np.sum([vote.astype(np.uint16) for vote in votes], axis=0)
    marked: Masks = 2 * counts > len(votes)
    return marked
