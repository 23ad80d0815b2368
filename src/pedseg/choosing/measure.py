"""What the validators read of a network: its predictions of whole cases and its features of some patches.

Cases come from the store, on the grid that the network was trained on. Of a target case only the image is opened.
Windows are not mirrored, whatever the run's own predictions do. A network that adapts to the case that it predicts is
measured as it is then; mirrored images meet what it has become for the case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pedseg.choosing.core_share import count_core, count_source_core
from pedseg.choosing.published_sizes import Volumes, nested_volumes
from pedseg.choosing.reliability import binned
from pedseg.choosing.scores import Confidence, Masks, agreement, confidence, mean_dice, soft_dice_confidence
from pedseg.data import StoredCase
from pedseg.hardware import autocast
from pedseg.ignored import judged
from pedseg.inference import Predictor
from pedseg.labels import Region

PATCHES = 4  # of a case whose features are read
VOXELS = 100  # of a case whose features are compared, drawn evenly from its patches
STAGES = ("decoder", "bottleneck")  # the last stage of each: what the heads read, and the deepest
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Features:
    """Features of some patches of a case.

    Attributes:
        pooled: (patches, channels) for each of `STAGES`: means over a patch, in the decoder over its brain alone.
        voxels: (`VOXELS`, channels) of brain voxels at the last decoder stage.
    """

    pooled: Mapping[str, Floats32]
    voxels: Floats32


@dataclass(frozen=True, slots=True)
class SourceCase:
    """What is measured on a labelled case of the source.

    Attributes:
        features: of its image.
        dice: of the prediction of the whole case but for ignored voxels, mean over regions.
        binned: (regions, 3, bins) probabilities and truth there in the brain, see `pedseg.choosing.reliability`.
        core: (2, bins) logits of TC there in the predicted WT, of TC and of the rest.
        control: the same under the rule TC := WT.
    """

    features: Features
    dice: float
    binned: NDArray[np.float64]
    core: NDArray[np.float64]
    control: "SourceCase | None" = None


@dataclass(frozen=True, slots=True)
class TargetCase:
    """What is measured on an image of the target.

    Attributes:
        features: of the image.
        confidence: of the predictions inside the brain.
        flip_agreement: mean Dice with the predictions of the image mirrored along each axis; None if the network was
            not trained to be mirrored.
        masks: (regions, d, h, w) predicted.
        volumes_mm3: of WT, TC and ET as the label map holds them.
        soft_dice: of probabilities and masks; None if nothing is found.
        core: (bins,) logits of TC in the predicted WT.
        control: the same under the rule TC := WT.
    """

    features: Features
    confidence: Confidence
    flip_agreement: float | None
    masks: Masks
    volumes_mm3: Volumes
    soft_dice: float | None
    core: NDArray[np.float64]
    control: "TargetCase | None" = None


def measure_source(predictor: Predictor, case: StoredCase, *, seed: int) -> SourceCase:
    """Predict a labelled source case, compare with its label, and read features.

    Raises:
        PedsegError: the case has no label, a file is damaged, or the store holds other voxels than the network's.
    """
    image, brain = _read(predictor, case)
    label = case.read_label((0, 0, 0), case.shape, ignored=case.ignores).astype(bool)
    with predictor.following(torch.from_numpy(image), torch.from_numpy(brain)) as followed:
        logits, features = followed.numpy(), patch_features(predictor, case, seed=seed)
    return replace(
        _source_case(logits, label, brain, features), control=_source_case(core(logits), label, brain, features)
    )


def _source_case(logits: Floats32, label: Masks, brain: NDArray[np.bool_], features: Features) -> SourceCase:
    prediction, regions, ignored = judged(logits > 0, label)
    counted = brain if ignored is None else brain & ~ignored[0]
    voxels = zip(logits[:, counted], regions[:, counted], strict=True)
    return SourceCase(
        features=features,
        dice=mean_dice(prediction, regions),
        binned=np.stack([binned(z, truth) for z, truth in voxels]),
        core=count_source_core(logits, label),
    )


def core(logits: Floats32) -> Floats32:
    """Logits (regions, d, h, w) under the rule TC := WT."""
    order = list(Region)
    result = logits.copy()
    result[order.index(Region.TC)] = logits[order.index(Region.WT)]
    return result


def measure_target(predictor: Predictor, case: StoredCase, *, seed: int) -> TargetCase:
    """Predict an image of the target as it is and mirrored, and read features. No label is looked at.

    Raises:
        PedsegError: a file is damaged, or the store holds other voxels than the network's.
    """
    array, brain = _read(predictor, case)
    image = torch.from_numpy(array)
    with predictor.following(image, torch.from_numpy(brain)) as followed:
        logits, axes = followed.numpy(), predictor.mirror_axes[0]
        mirrored = [predictor.logits(image.flip(1 + axis)).flip(1 + axis).numpy() for axis in axes]
        features = patch_features(predictor, case, seed=seed)
    own, control = (
        _target_case(rule(logits), [rule(other) for other in mirrored], brain, features, predictor.spacing_mm)
        for rule in (lambda z: z, core)
    )
    return replace(own, control=control)


def _target_case(
    logits: Floats32,
    mirrored: Sequence[Floats32],
    brain: NDArray[np.bool_],
    features: Features,
    spacing_mm: Sequence[float],
) -> TargetCase:
    masks, inside = logits > 0, logits[:, brain]
    return TargetCase(
        features=features,
        confidence=confidence(inside),
        flip_agreement=agreement(masks, [other > 0 for other in mirrored]) if mirrored else None,
        masks=masks,
        volumes_mm3=nested_volumes(masks, spacing_mm),
        soft_dice=soft_dice_confidence(inside),
        core=count_core(logits),
    )


@torch.inference_mode()
def patch_features(predictor: Predictor, case: StoredCase, *, seed: int) -> Features:
    """Features of `PATCHES` patches around random brain voxels; the same ones whichever network reads them."""
    rng = np.random.default_rng([seed, *case.id.encode()])
    _, brain = case.read_image((0, 0, 0), case.shape)
    inside = np.flatnonzero(brain)
    pooled: dict[str, list[Floats32]] = {stage: [] for stage in STAGES}
    voxels = []
    for centre in rng.choice(inside, PATCHES):
        voxel = np.unravel_index(centre, case.shape)
        start = [int(c) - n // 2 for c, n in zip(voxel, predictor.patch_size, strict=True)]
        image, mask = case.read_image(start, predictor.patch_size)
        decoder, bottleneck = _stages(predictor, image)
        in_brain = decoder[:, mask[0]]
        pooled["decoder"].append(in_brain.mean(axis=1))
        pooled["bottleneck"].append(bottleneck.reshape(len(bottleneck), -1).mean(axis=1))
        few = in_brain.shape[1] < VOXELS // PATCHES
        voxels.append(in_brain[:, rng.choice(in_brain.shape[1], VOXELS // PATCHES, replace=few)].T)
    return Features({stage: np.stack(rows) for stage, rows in pooled.items()}, np.concatenate(voxels))


def _stages(predictor: Predictor, image: Floats32) -> tuple[Floats32, Floats32]:
    """Last decoder stage (channels, d, h, w) and bottleneck of one patch."""
    device = predictor.device
    batch = torch.from_numpy(image)[None].to(device, memory_format=torch.channels_last_3d)
    with autocast(device, predictor.settings.precision):
        output = predictor.networks[0].forward_features(batch)
    return output.decoder[-1][0].float().cpu().numpy(), output.bottleneck[0].float().cpu().numpy()


def _read(predictor: Predictor, case: StoredCase) -> tuple[Floats32, NDArray[np.bool_]]:
    """Image (C, d, h, w) and brain (d, h, w) of a whole case."""
    predictor.check_spacing(case.spacing_mm, case.folder)
    image, brain = case.read_image((0, 0, 0), case.shape)
    return image, brain[0]
