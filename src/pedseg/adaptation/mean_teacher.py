"""A student that must agree with its own average: mean teacher (Tarvainen and Valpola 2017; Perone et al. 2019).

The teacher's weights are the exponential moving average of the student's. It labels target patches as they come; the
student sees them strongly augmented, with blocks masked out (MIC: Hoyer et al. 2023), and learns what the teacher is
sure of (FixMatch: Sohn et al. 2020).
"""

import copy
import math
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from pedseg.adaptation.method import (
    Draw,
    Interval,
    Method,
    Part,
    Stage,
    Step,
    Takes,
    brain_mean,
    inside,
    ramp,
    running_statistics_kept,
    sent,
)
from pedseg.adaptation.shares import Shares, ShareThresholds
from pedseg.adaptation.strong import strongly_augmented
from pedseg.labels import Domain, Region
from pedseg.networks import SegmentationNetwork
from pedseg.settings.signature import Count, NotNegative, Number, SettingError, Share

AUGMENTED = 0.8  # probability that a modality of the student's patch is changed


class MeanTeacher(Method):
    """Weight times the binary cross-entropy of the student against the teacher's labels, where the teacher is sure.

    The teacher labels a voxel where its logit passes a threshold: 0, or with `shares` the one at which the regions have
    their published shares of the brain (`ShareThresholds`). No part is then further above its threshold than the whole:
    TC lies inside WT, ET inside TC. A voxel is sure if it is ``log(c / (1 - c))`` from the threshold or more, c the
    `confidence`: at 0 its probability or the complement reaches c. The sum over sure voxels is divided by all brain
    voxels (FixMatch, eq. 4), so that an unsure teacher counts less. Guard: a region whose share of WT in the labels of
    a patch leaves `plausible` is not taught there. A mean over samples (`brain_mean`), so that with instance norms two
    processes learn what one does.

    Teacher and student start from the patch as it was loaded, whatever other methods make of it. The student's forward
    leaves the running statistics of batch norms alone: prediction never meets masked patches.

    Logged per epoch: ``loss_consistency``, ``consistency_weight``, ``teacher_sure`` (share of sure voxels),
    ``teacher_guarded`` (share of regions that the guard held back); with `shares` ``threshold_<region>``, in logits.

    Args:
        weight: of the loss at the end of its rise.
        start: progress in [0, 1) at which the weight begins to rise.
        end: and at which it is reached.
        decay: of the moving average, per step; until ``1 / (1 - decay)`` steps are done the plain mean of all weights.
        confidence: probability from which the teacher is sure, from 0.5 to below 1, which no logit reaches.
        strength: of the student's augmentation (`StrongAugmentation`).
        masked: share of the blocks that the student does not see.
        block: edge of a block in voxels.
        plausible: bounds of the volume of TC and ET over that of WT (literature figures); None: any.
        shares: mean volume of regions over that of the brain (literature figures).

    Raises:
        SettingError: the weight does not rise, or with shares nothing would fade.
    """

    stage = Stage.LABELS
    takes = Takes.OUTPUTS
    strengths = ("weight",)
    reads_target = False  # it looks at target images with a teacher, and with a forward of its own
    steps: Tensor

    def __init__(
        self,
        *,
        weight: NotNegative = 1.0,
        start: Share = 0.2,
        end: Share = 0.6,
        decay: Share = 0.99,
        confidence: Annotated[Number, Field(ge=0.5, lt=1)] = 0.8,
        strength: Share = 0.5,
        masked: Share = 0.3,
        block: Count = 8,
        plausible: dict[Part, Interval | None] | None = None,
        shares: Shares | None = None,
    ) -> None:
        super().__init__()
        if shares and decay == 1:
            raise SettingError("decay", decay, "lets no count fade; with shares give less than 1")
        self.weight_schedule = ramp(maximum=weight, start=start, end=end)
        self.decay = decay
        self.confidence = confidence
        self.strength = strength
        self.masked = masked
        self.block = block
        self.plausible = {Region(region): interval for region, interval in (plausible or {}).items() if interval}
        self.shares = ShareThresholds(shares, decay=decay) if shares else None
        self.weight = 0.0
        self.teacher: SegmentationNetwork | None = None
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.done = 0  # the same as `steps`, on the host

    def start(self, network: SegmentationNetwork) -> None:
        """Copy the network."""
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "MeanTeacher":
        """Set the mode; the teacher stays in evaluation mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def start_epoch(self, progress: float) -> dict[str, float]:
        """Set the weight."""
        self.done = int(self.steps)
        self.weight = self.weight_schedule(progress)
        return {"consistency_weight": self.weight}

    def loss(self, step: Step) -> Tensor | None:
        """Weighted disagreement on the target's part of the batch.

        While the weight is 0 nothing is computed, but for what the thresholds are found from.
        """
        if Domain.TARGET not in step.loaded or not (self.weight or self.shares):
            return None
        images = step.loaded[Domain.TARGET]
        brain = inside(images)
        logits = self._taught(images)
        if self.shares is not None:
            self.shares.count(logits, brain)
        if not self.weight:
            return None
        label, sure = self._labels(logits)
        allowed = self._plausible(label & brain)
        seen = strongly_augmented(images, step.draw, purpose="student", probability=AUGMENTED, strength=self.strength)
        seen *= block_mask(images, step.draw, share=self.masked, block=self.block)
        with running_statistics_kept(step.network):
            answer = step.network(seen).float()
        disagreement = F.binary_cross_entropy_with_logits(answer, label.float(), reduction="none")
        loss = brain_mean(disagreement * (sure & allowed[:, :, None, None, None]), brain)
        step.log("loss_consistency", loss, len(images))
        step.log("teacher_sure", brain_mean(sure.float(), brain), len(images))
        step.log("teacher_guarded", 1 - allowed.float().mean(), len(images))
        if self.shares is not None:
            for region, threshold in zip(Region, self.shares.thresholds(), strict=True):
                step.log(f"threshold_{region}", threshold, len(images))
        return self.weight * loss

    @torch.no_grad()
    def finish_step(self, network: SegmentationNetwork) -> None:
        """Move the teacher towards the student; buffers (BatchNorm statistics) are copied."""
        assert self.teacher is not None  # noqa: S101  (start has been called)
        self.steps += 1
        self.done += 1
        decay = min(self.decay, 1 - 1 / (self.done + 1))
        averages: list[Tensor] = [*self.teacher.parameters()]
        torch._foreach_lerp_(averages, [*network.parameters()], 1 - decay)
        for copied, buffer in zip(self.teacher.buffers(), network.buffers(), strict=True):
            copied.copy_(buffer)
        if self.shares is not None:
            self.shares.merge()

    def description(self) -> dict[str, Any]:
        """Decay, confidence and known shares."""
        shares = {} if self.shares is None else {region.value: share for region, share in self.shares.shares.items()}
        return {"decay": self.decay, "confidence": self.confidence, "shares": shares}

    @torch.no_grad()
    def _taught(self, images: Tensor) -> Tensor:
        assert self.teacher is not None  # noqa: S101  (start has been called)
        logits: Tensor = self.teacher(images).float()
        return logits

    def _labels(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher says of each voxel and region, and where it is sure; both of the size of its logits."""
        distance = logits
        if self.shares is not None:
            above = logits - self.shares.thresholds().view(1, -1, 1, 1, 1)
            distance = above.cummin(1).values  # regions go from the whole to its parts
        margin = math.log(self.confidence / (1 - self.confidence))
        return distance > 0, distance.abs() >= margin

    def _plausible(self, label: Tensor) -> Tensor:
        """Which regions (n, regions) of labels (n, regions, D, H, W) may be taught; all where there is no tumour."""
        volumes = label.float().sum((2, 3, 4))
        whole = volumes[:, list(Region).index(Region.WT)]
        allowed = torch.ones_like(volumes, dtype=torch.bool)
        for region, (low, high) in self.plausible.items():
            index = list(Region).index(region)
            allowed[:, index] = (volumes[:, index] >= low * whole) & (volumes[:, index] <= high * whole)
        return allowed


def block_mask(images: Tensor, draw: Draw, *, share: float, block: int) -> Tensor:
    """Mask (n, 1, D, H, W) for images of that size: cubes of `block` voxels are 0 with probability `share`, else 1."""
    shape = images.shape[2:]
    coarse = [-(-size // block) for size in shape]
    kept = [
        draw.stream("mask", sample=index, samples=len(images)).random(coarse) >= share for index in range(len(images))
    ]
    mask = sent(torch.from_numpy(np.stack(kept))[:, None].to(images.dtype), images.device)
    for axis in (2, 3, 4):
        mask = mask.repeat_interleave(block, dim=axis)
    return mask[:, :, : shape[0], : shape[1], : shape[2]]
