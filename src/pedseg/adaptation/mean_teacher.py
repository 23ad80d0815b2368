"""A student that must agree with its own average: mean teacher (Tarvainen and Valpola 2017; Perone et al. 2019).

The teacher's weights are the exponential moving average of the student's. It labels target patches as they come; the
student sees them strongly augmented, with blocks masked out (Hoyer et al. 2023, MIC), and learns what the teacher is
sure of.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pedseg.adaptation.method import Draw, Method, Step, inside
from pedseg.adaptation.strong import strongly_augmented
from pedseg.labels import Domain, Region
from pedseg.networks import UNet


class MeanTeacher(Method):
    """Weight times the binary cross-entropy of the student's against the teacher's labels, over sure brain voxels.

    A voxel of a region is sure if the teacher's probability or its complement reaches `confidence`; the sum over sure
    voxels is divided by all brain voxels, so that an unsure teacher counts less (the quality weight of MIC). Guard: a
    region whose share of WT, by the teacher and over the batch, leaves `plausible` is not taught in that step.

    Logged per epoch: ``loss_consistency``, ``consistency_weight``, ``teacher_sure`` (share of sure voxels),
    ``teacher_guarded`` (share of regions that the guard held back).

    Args:
        weight_schedule: weight as a function of progress in [0, 1).
        decay: of the moving average, per step; while few steps are done the plain mean of all of them.
        confidence: probability from which the teacher is sure.
        strength: of the student's augmentation (`StrongAugmentation`).
        masked: share of the blocks that the student does not see.
        block: edge of a block in voxels.
        plausible: bounds of the volume of TC and ET over that of WT (literature figures).
    """

    steps: Tensor

    def __init__(
        self,
        *,
        weight_schedule: Callable[[float], float],
        decay: float = 0.99,
        confidence: float = 0.8,
        strength: float = 0.5,
        masked: float = 0.3,
        block: int = 8,
        plausible: Mapping[Region, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        self.weight_schedule = weight_schedule
        self.decay = decay
        self.confidence = confidence
        self.strength = strength
        self.masked = masked
        self.block = block
        self.plausible = {Region(region): bounds for region, bounds in (plausible or {}).items()}
        self.weight = 0.0
        self.teacher: UNet | None = None
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def start(self, network: UNet) -> None:
        """Copy the network."""
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def train(self, mode: bool = True) -> "MeanTeacher":
        """Set the mode; the teacher stays in evaluation mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def start_epoch(self, progress: float) -> dict[str, float]:
        """Set the weight."""
        self.weight = self.weight_schedule(progress)
        return {"consistency_weight": self.weight}

    def loss(self, step: Step) -> Tensor | None:
        """Weighted disagreement on the target's part of the batch; nothing is computed while the weight is 0."""
        if Domain.TARGET not in step.images or not self.weight:
            return None
        images = step.images[Domain.TARGET]
        probability = self._taught(images)
        brain = inside(images)
        sure = brain & (torch.maximum(probability, 1 - probability) >= self.confidence)
        allowed = self._plausible(probability * brain)
        seen = strongly_augmented(images, step.draw, purpose="student", probability=0.8, strength=self.strength)
        seen = seen * block_mask(images, step.draw, share=self.masked, block=self.block)
        logits = step.network(seen.to(images.dtype)).float()
        disagreement = F.binary_cross_entropy_with_logits(logits, (probability > 0.5).float(), reduction="none")  # noqa: PLR2004
        weights = sure * allowed.view(1, -1, 1, 1, 1)
        loss = (disagreement * weights).sum() / (brain.sum() * len(allowed)).clamp(min=1)
        step.log("loss_consistency", loss, len(images))
        step.log("teacher_sure", sure.sum() / (brain.sum() * len(allowed)).clamp(min=1), len(images))
        step.log("teacher_guarded", 1 - allowed.mean(), len(images))
        return self.weight * loss

    @torch.no_grad()
    def finish_step(self, network: UNet) -> None:
        """Move the teacher towards the student; buffers (BatchNorm statistics) are copied."""
        assert self.teacher is not None  # noqa: S101  (start has been called)
        self.steps += 1
        decay = min(self.decay, 1 - 1 / (int(self.steps) + 1))
        for average, parameter in zip(self.teacher.parameters(), network.parameters(), strict=True):
            average.lerp_(parameter, 1 - decay)
        for copied, buffer in zip(self.teacher.buffers(), network.buffers(), strict=True):
            copied.copy_(buffer)

    def description(self) -> dict[str, Any]:
        """Decay and confidence."""
        return {"decay": self.decay, "confidence": self.confidence}

    @torch.no_grad()
    def _taught(self, images: Tensor) -> Tensor:
        assert self.teacher is not None  # noqa: S101  (start has been called)
        probability: Tensor = self.teacher(images).float().sigmoid()
        return probability

    def _plausible(self, probability: Tensor) -> Tensor:
        """1 for regions that may be taught, 0 for those whose share of WT is out of bounds."""
        volumes = probability.sum((0, 2, 3, 4))
        whole = volumes[list(Region).index(Region.WT)].clamp(min=1.0)
        allowed = torch.ones_like(volumes)
        for index, region in enumerate(Region):
            if region in self.plausible:
                low, high = self.plausible[region]
                ratio = volumes[index] / whole
                allowed[index] = ((ratio >= low) & (ratio <= high)).float()
        return allowed


def block_mask(images: Tensor, draw: Draw, *, share: float, block: int) -> Tensor:
    """Mask (n, 1, D, H, W) of images of that shape that is 0 in a random `share` of the cubes of `block` voxels."""
    shape = images.shape[2:]
    coarse = [-(-size // block) for size in shape]
    kept = [
        draw.stream("mask", sample=index, samples=len(images)).random(coarse) >= share for index in range(len(images))
    ]
    mask = torch.stack([torch.from_numpy(k) for k in kept])[:, None].to(images.device, images.dtype)
    for axis in (2, 3, 4):
        mask = mask.repeat_interleave(block, dim=axis)
    return mask[:, :, : shape[0], : shape[1], : shape[2]]
