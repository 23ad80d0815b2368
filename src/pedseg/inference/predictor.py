"""Case in, label map out; training, `predict` and every evaluation use this one path."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pedseg.calibration.per_case import PerCase, Thresholds
from pedseg.cases import Case
from pedseg.errors import PedsegError
from pedseg.imaging import PreparedImage, prepare_case, restore_regions
from pedseg.imaging.geometry import in_xyz
from pedseg.inference.checkpoint import LoadedNetwork, load_network
from pedseg.inference.settings import Settings
from pedseg.inference.sliding_window import NotFiniteError, sliding_window_logits
from pedseg.inference.tent import adapted, harmless
from pedseg.labels import LabelConvention, Region
from pedseg.networks import above

log = logging.getLogger(__name__)
SAME_SPACING = 1e-3  # relative difference of voxel sizes that are the same


class Predictor:
    """Predicts cases with one network, or with the mean of the logits of several (folds of an ensemble).

    All networks stay on the device: nnU-Net's BraTS network takes 125 MB, a fold ensemble 625 MB.

    Args:
        checkpoints: of runs with the same patch size and spacing.
        device: where the networks run.
        settings: how windows are laid, and whether the networks adapt to each case.
        load: what reads a checkpoint, where its file is not one of a run.
        thresholds: of each network (a logit for each region, the rule that gives them for a case, or None), in place of
            those that its file holds.

    Thresholds of calibrated networks are taken from the mean of their logits, so that neither windows nor members of an
    ensemble are cut by themselves, and an adaptation works on what the networks were trained to give. A rule finds a
    network's thresholds from that network's own logits of the whole case.

    Attributes:
        thresholds: of each network; None if none is calibrated.
        adaptations_kept: of each case that the networks adapted to, whether its adapted prediction was used.

    Raises:
        PedsegError: a checkpoint cannot be used, or the checkpoints do not belong together.
    """

    def __init__(
        self,
        checkpoints: Sequence[Path],
        *,
        device: torch.device,
        settings: Settings | None = None,
        load: Callable[[Path], LoadedNetwork] = load_network,
        thresholds: Sequence[Thresholds | None] | None = None,
    ) -> None:
        if not checkpoints:
            raise PedsegError("no checkpoint was given to predict with")
        loaded = [load(checkpoint) for checkpoint in checkpoints]
        _check_ensemble(checkpoints, loaded)
        self.settings = settings or Settings()
        self.device = device
        self.patch_size = loaded[0].patch_size
        self.spacing_mm = loaded[0].spacing_mm
        self.identities = [one.identity for one in loaded]
        self.mirror_axes = [one.mirror_axes for one in loaded]
        self.networks = [
            one.network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            for one in loaded
        ]
        self.adaptations_kept: list[bool] = []
        each = [one.thresholds for one in loaded] if thresholds is None else list(thresholds)
        self.thresholds = None if all(one is None for one in each) else each
        self._beside = thresholds is not None  # the networks' files do not tell them

    def check_spacing(self, spacing_mm: Sequence[float], prepared: Path) -> None:
        """Refuse a prepared case of another voxel size (z, y, x) than that of the training.

        Raises:
            PedsegError: it is one.
        """
        if not np.allclose(spacing_mm, self.spacing_mm, rtol=SAME_SPACING):
            raise PedsegError(
                f"{prepared}: is prepared at {in_xyz(spacing_mm)} mm and the network was trained at "
                f"{in_xyz(self.spacing_mm)} mm; give the run the store that it was trained from"
            )

    def prepare(self, case: Case) -> PreparedImage:
        """Read a case, check its images, and bring it to the networks' voxel size; what is worth saying is logged.

        Raises:
            ProblemsError: the images cannot be used, see `read_checked`.
        """
        prepared = prepare_case(case, spacing_mm=self.spacing_mm, background=self.settings.background)
        for remark in prepared.remarks:
            log.warning("%s", remark)
        return prepared

    def logits(self, image: Tensor) -> Tensor:
        """Mean logits (3, d, h, w), float32 on the CPU, of a normalised image (4, d, h, w); the networks as they are.

        Those of calibrated networks are above their thresholds.

        Image and sums lie on the device: for the largest BraTS volume they take 250 MB, and moving every window's
        logits to the CPU would take longer than the forward pass of a fast GPU.
        """
        return _cut(*self._mean_logits(image.to(self.device)))

    @contextmanager
    def following(self, image: Tensor, brain: Tensor) -> Iterator[Tensor]:
        """Let the networks be, for as long as the context lasts, what they are for a case; yield their `logits` of it.

        With `adapt_steps` they adapt to the case, or stay what they are where that seems to do harm; which of these is
        added to `adaptations_kept`. Afterwards they have their old bits again.

        Args:
            image: normalised (4, d, h, w).
            brain: (d, h, w) bool.
        """
        image = image.to(self.device)
        own, thresholds = self._mean_logits(image)
        if not self.settings.adapt_steps:
            yield _cut(own, thresholds)
            return
        with ExitStack() as stack:
            for network in self.networks:
                stack.enter_context(adapted(network, image, brain, patch_size=self.patch_size, settings=self.settings))
            after = self._adapted_logits(image)
            kept = after is not None and harmless(own, after[0], brain)
            self.adaptations_kept.append(kept)
            if not kept:
                stack.close()
            yield _cut(*after) if after is not None and kept else _cut(own, thresholds)

    def _adapted_logits(self, image: Tensor) -> tuple[Tensor, Tensor | None] | None:
        """As `_mean_logits`; None if they are no numbers."""
        try:
            return self._mean_logits(image)
        except NotFiniteError:
            return None

    @torch.inference_mode()
    def _mean_logits(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean over the networks, uncut; and of their thresholds (regions,), if any is calibrated."""
        total: Tensor | None = None
        thresholds = []
        for index, (network, mirror_axes) in enumerate(zip(self.networks, self.mirror_axes, strict=True)):
            logits = sliding_window_logits(
                network,
                image,
                patch_size=self.patch_size,
                device=self.device,
                channels_last=True,
                mirror_axes=mirror_axes,
                **self.settings.windows,
            )
            if self.thresholds:
                thresholds.append(_of_case(self.thresholds[index], logits))
            total = logits if total is None else total.add_(logits)
        assert total is not None  # noqa: S101  (there is at least one network)
        return total.div_(len(self.networks)).cpu(), torch.tensor(thresholds).mean(0) if thresholds else None

    def infer(self, prepared: PreparedImage) -> NDArray[np.float32]:
        """Logits (3, d, h, w) of a prepared case, on the grid of its `raw`."""
        image, brain = torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)
        with self.following(image, brain) as logits:
            return logits.numpy()

    def segment(self, prepared: PreparedImage) -> NDArray[np.bool_]:
        """Region masks (3, Z, Y, X) of a prepared case on its input grid."""
        return restore_regions(self.infer(prepared), prepared)

    def predict(self, case: Case) -> NDArray[np.bool_]:
        """Region masks (3, Z, Y, X) of a case on its input grid.

        Raises:
            PedsegError: as `prepare`.
        """
        return self.segment(self.prepare(case))

    def record(self, convention: LabelConvention) -> dict[str, Any]:
        """What decides the label maps: checkpoints, settings, thresholds that lie beside them, and label convention."""
        cut = {"thresholds": _recorded(self.thresholds)} if self.thresholds and self._beside else {}
        return {"checkpoints": self.identities, **self.settings.deciding, **cut, "convention": str(convention)}


@torch.inference_mode()
def _cut(logits: Tensor, thresholds: Tensor | None) -> Tensor:
    return logits if thresholds is None else above(logits, thresholds)


def _of_case(thresholds: Thresholds | None, logits: Tensor) -> list[float]:
    """A network's threshold of each region, given its logits of a case."""
    if thresholds is None:
        return [0.0] * len(Region)
    return thresholds.thresholds(logits) if isinstance(thresholds, PerCase) else list(thresholds)


def _recorded(each: Sequence[Thresholds | None]) -> list[Any]:
    """Mean thresholds (regions,) of networks; what each has, where one has a rule."""
    plain = [[0.0] * len(Region) if one is None else list(one) for one in each if not isinstance(one, PerCase)]
    if len(plain) < len(each):
        return [one.as_json() if isinstance(one, PerCase) else one for one in each]
    mean: list[float] = torch.tensor(plain).mean(0).tolist()
    return mean


def _patch(network: LoadedNetwork) -> str:
    return f"a patch of {in_xyz(network.patch_size)} voxels of {in_xyz(network.spacing_mm)} mm"


def _check_ensemble(checkpoints: Sequence[Path], loaded: Sequence[LoadedNetwork]) -> None:
    first = loaded[0]
    for path, other in zip(checkpoints[1:], loaded[1:], strict=True):
        if (other.patch_size, other.spacing_mm) != (first.patch_size, first.spacing_mm):
            raise PedsegError(
                f"{path} has {_patch(other)}, {checkpoints[0]} has {_patch(first)}; an ensemble needs the same"
            )
