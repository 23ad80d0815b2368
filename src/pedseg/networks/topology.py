"""Shape of the U-Net as a function of patch size and voxel spacing (nnU-Net's planning rule)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from pedseg.errors import PedsegError

Triple = tuple[int, int, int]

AXES = ("z", "y", "x")
SMALLEST_EDGE = 4  # voxels an axis keeps at the bottleneck: nnU-Net's UNet_featuremap_min_edge_length
SIMILAR_SPACING = 2.0  # an axis is pooled, and convolved, while its spacing is within this factor of the finest
LONE_AXIS_EDGES = 3  # an axis is pooled alone only while it has this many times the smallest edge
FEWEST_STAGES = 3  # below that the network is no U-Net; a patch of 16 voxels reaches it
FEWEST_EXPLICIT = 2  # a plan given as it is needs one skip at least


@dataclass(frozen=True, slots=True)
class Topology:
    """What a U-Net is made of, one entry per stage from the full resolution down.

    Attributes:
        features: channels of each stage.
        kernels: convolution kernels of each stage.
        strides: stride of the first convolution of each stage; the first is 1.
    """

    features: tuple[int, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]

    @classmethod
    def explicit(
        cls, *, features: Sequence[int], kernels: Sequence[Sequence[int]], strides: Sequence[Sequence[int]]
    ) -> "Topology":
        """Take a plan as it is.

        Raises:
            PedsegError: the three differ in length or there are fewer than two stages.
        """
        if not len(features) == len(kernels) == len(strides) >= FEWEST_EXPLICIT:
            raise PedsegError(
                f"a plan of {len(features)} features, {len(kernels)} kernels and {len(strides)} strides is none; "
                f"give one of each per stage, for at least {FEWEST_EXPLICIT} stages"
            )
        return cls(
            features=tuple(int(n) for n in features),
            kernels=tuple(_triple(kernel) for kernel in kernels),
            strides=tuple(_triple(stride) for stride in strides),
        )

    def as_lists(self) -> dict[str, list[int] | list[list[int]]]:
        """Return the plan as plain lists, the arguments of `explicit`."""
        return {
            "features": list(self.features),
            "kernels": [list(kernel) for kernel in self.kernels],
            "strides": [list(stride) for stride in self.strides],
        }

    @property
    def divisor(self) -> Triple:
        """Product of the strides per axis: what each axis of an input must be a multiple of."""
        z, y, x = (math.prod(axis) for axis in zip(*self.strides, strict=True))
        return z, y, x

    def stage_size(self, patch_size: Sequence[int], stage: int) -> Triple:
        """Spatial size of the feature maps of `stage` (0 = full resolution) for an input of `patch_size`."""
        factors = (math.prod(axis) for axis in zip(*self.strides[: stage + 1], strict=True))
        z, y, x = (size // factor for size, factor in zip(patch_size, factors, strict=True))
        return z, y, x


def plan_topology(
    *,
    patch_size: Sequence[int],
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    base_features: int = 32,
    max_features: int = 320,
) -> Topology:
    """Derive stages, kernels, strides and channels the way nnU-Net's planner does (Isensee et al. 2021).

    An axis is halved while it keeps at least 4 voxels and its spacing is less than twice the finest of the axes that
    can still be halved; a single remaining axis is halved only from 12 voxels on. A kernel is 3 along an axis from
    the stage on where its spacing is less than twice the finest of all, 1 before, and 3³ at the bottleneck. Channels
    double from `base_features` up to `max_features`.

    Args:
        patch_size: voxels along z, y, x.
        spacing_mm: voxel size along z, y, x in millimetres.
        base_features: channels at full resolution.
        max_features: largest number of channels.

    Raises:
        PedsegError: sizes or spacings are not three positive numbers, an axis is no multiple of its total stride, or
            the patch is too small for three stages.
    """
    _check_numbers(patch_size, spacing_mm, base_features, max_features)
    strides, kernels = _plan_axes(patch_size, spacing_mm)
    topology = Topology(
        features=tuple(min(max_features, base_features * 2**stage) for stage in range(len(strides))),
        kernels=tuple(kernels),
        strides=tuple(strides),
    )
    if len(strides) < FEWEST_STAGES:
        raise PedsegError(
            f"patch_size {tuple(patch_size)} at spacing {tuple(spacing_mm)} mm allows {len(strides)} stages, the "
            f"network needs {FEWEST_STAGES}; give at least 16 voxels along two axes"
        )
    for axis, (size, divisor) in enumerate(zip(patch_size, topology.divisor, strict=True)):
        if size % divisor:
            raise misfit(patch_size, axis, divisor=divisor, nearest=_nearest_sizes(patch_size, spacing_mm, axis))
    return topology


def misfit(patch_size: Sequence[int], axis: int, *, divisor: int, nearest: Sequence[int]) -> PedsegError:
    """What to raise where an axis of the patch is no multiple of its total stride; sizes of 0 are none."""
    hint = " or ".join(str(n) for n in nearest if n)
    return PedsegError(
        f"patch_size {tuple(patch_size)}: axis {AXES[axis]} has {patch_size[axis]} voxels, not a multiple of "
        f"{divisor}; the nearest sizes that fit are {hint}"
    )


def topology_of(
    *,
    patch_size: Sequence[int],
    spacing_mm: Sequence[float],
    base_features: int,
    max_features: int,
    features: Sequence[int] | None,
    kernels: Sequence[Sequence[int]] | None,
    strides: Sequence[Sequence[int]] | None,
) -> Topology:
    """The explicit plan where `features`, `kernels` and `strides` are given, else that of the rule.

    Raises:
        PedsegError: some of the three are given and some not, or as `Topology.explicit` and `plan_topology`.
    """
    if features is not None and kernels is not None and strides is not None:
        return Topology.explicit(features=features, kernels=kernels, strides=strides)
    if features is not None or kernels is not None or strides is not None:
        raise PedsegError("features, kernels and strides make a plan together; give all three or none")
    return plan_topology(
        patch_size=patch_size, spacing_mm=spacing_mm, base_features=base_features, max_features=max_features
    )


def _check_numbers(
    patch_size: Sequence[int], spacing_mm: Sequence[float], base_features: int, max_features: int
) -> None:
    for name, values in (("patch_size", patch_size), ("spacing_mm", spacing_mm)):
        if len(values) != len(AXES) or any(value <= 0 for value in values):
            raise PedsegError(f"{name} {tuple(values)} must be three positive numbers (z, y, x)")
    if not 1 <= base_features <= max_features:
        raise PedsegError(f"base_features {base_features} must lie between 1 and max_features {max_features}")


def _plan_axes(patch_size: Sequence[int], spacing_mm: Sequence[float]) -> tuple[list[Triple], list[Triple]]:
    size, spacing = list(patch_size), list(spacing_mm)
    kernel = [1, 1, 1]
    strides: list[Triple] = [(1, 1, 1)]
    kernels: list[Triple] = []
    while pooled := _axes_to_pool(size, spacing):
        kernel = [3 if s / min(spacing) < SIMILAR_SPACING else k for k, s in zip(kernel, spacing, strict=True)]
        for axis in pooled:
            spacing[axis] *= 2
            size[axis] = math.ceil(size[axis] / 2)
        strides.append(_triple([2 if axis in pooled else 1 for axis in range(len(AXES))]))
        kernels.append(_triple(kernel))
    return strides, [*kernels, (3, 3, 3)]


def _triple(values: Sequence[int]) -> Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x


def _axes_to_pool(size: Sequence[int], spacing: Sequence[float]) -> set[int]:
    large = [axis for axis in range(len(AXES)) if size[axis] >= 2 * SMALLEST_EDGE]
    finest = min((spacing[axis] for axis in large), default=0.0)
    axes = {axis for axis in large if spacing[axis] / finest < SIMILAR_SPACING}
    if len(axes) == 1 and size[min(axes)] < LONE_AXIS_EDGES * SMALLEST_EDGE:
        return set()
    return axes


def _nearest_sizes(patch_size: Sequence[int], spacing_mm: Sequence[float], axis: int) -> tuple[int, int]:
    """Largest smaller (0 if none) and smallest larger size of `axis` that its own plan divides."""

    def fits(size: int) -> bool:
        candidate = [*patch_size[:axis], size, *patch_size[axis + 1 :]]
        strides, _ = _plan_axes(candidate, spacing_mm)
        return size % math.prod(stride[axis] for stride in strides) == 0

    size = patch_size[axis]
    below = next((n for n in range(size - 1, 2 * SMALLEST_EDGE - 1, -1) if fits(n)), 0)
    return below, next(n for n in count(size + 1) if fits(n))
