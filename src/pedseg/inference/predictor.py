"""Case in, label map out; training, `predict` and every evaluation use this one path."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from pedseg.cases import Case
from pedseg.errors import PedsegError, Problem
from pedseg.files import read_json, safe_name, write_json
from pedseg.imaging import PreparedImage, prepare_image, read_images, restore_regions, write_label_map
from pedseg.inference.checkpoint import LoadedNetwork, load_network
from pedseg.inference.settings import RECORD, Settings
from pedseg.inference.sliding_window import NotFiniteError, sliding_window_logits
from pedseg.inference.test_time import adapted, harmless
from pedseg.labels import LabelConvention, Region, labels_from_regions
from pedseg.networks import UNet
from pedseg.networks.unet import above

log = logging.getLogger(__name__)

# What may go wrong with one case and leave the others as they are.
CASE_ERRORS = (PedsegError, OSError, MemoryError, torch.OutOfMemoryError)


class Predictor:
    """Predicts cases with one network, or with the mean of the logits of several (folds of an ensemble).

    All networks stay on the device: nnU-Net's BraTS network takes 125 MB, a fold ensemble 625 MB.

    Args:
        checkpoints: of runs with the same patch size and spacing.
        device: where the networks run.
        settings: how windows are laid, and whether the networks adapt to each case.
        load: what reads a checkpoint, where its file is not one of a run.

    Thresholds of calibrated networks are taken from the mean of their logits, so that neither windows nor members of an
    ensemble are cut by themselves, and an adaptation works on what the networks were trained to give.

    Attributes:
        thresholds: (regions,) mean over the networks; None if none is calibrated.
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
        self.thresholds = _mean_thresholds(self.networks)
        for network in self.networks:
            network.calibrate(None)

    def prepare(self, case: Case) -> PreparedImage:
        """Read a case and bring it to the networks' voxel size.

        Raises:
            PedsegError: a file is absent or damaged, or the modalities do not share a grid.
        """
        return prepare_image(read_images(case.images), spacing_mm=self.spacing_mm)

    def logits(self, image: Tensor) -> Tensor:
        """Mean logits (3, d, h, w), float32 on the CPU, of a normalised image (4, d, h, w); the networks as they are.

        Those of calibrated networks are above their thresholds.

        Image and sums lie on the device: for the largest BraTS volume they take 250 MB, and moving every window's
        logits to the CPU would take longer than the forward pass of a fast GPU.
        """
        return self._cut(self._mean_logits(image.to(self.device)))

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
        own = self._mean_logits(image)
        if not self.settings.adapt_steps:
            yield self._cut(own)
            return
        with ExitStack() as stack:
            for network in self.networks:
                stack.enter_context(adapted(network, image, brain, patch_size=self.patch_size, settings=self.settings))
            after = self._adapted_logits(image)
            kept = after is not None and harmless(own, after, brain)
            self.adaptations_kept.append(kept)
            if not kept:
                stack.close()
            yield self._cut(own if after is None or not kept else after)

    def _adapted_logits(self, image: Tensor) -> Tensor | None:
        """As `_mean_logits`; None if they are no numbers."""
        try:
            return self._mean_logits(image)
        except NotFiniteError:
            return None

    @torch.inference_mode()
    def _cut(self, logits: Tensor) -> Tensor:
        return logits if self.thresholds is None else above(logits, self.thresholds)

    @torch.inference_mode()
    def _mean_logits(self, image: Tensor) -> Tensor:
        """Mean over the networks, uncut."""
        total: Tensor | None = None
        for network, mirror_axes in zip(self.networks, self.mirror_axes, strict=True):
            logits = sliding_window_logits(
                network,
                image,
                patch_size=self.patch_size,
                device=self.device,
                channels_last=True,
                mirror_axes=mirror_axes,
                **self.settings.windows,
            )
            total = logits if total is None else total.add_(logits)
        assert total is not None  # noqa: S101  (there is at least one network)
        return total.div_(len(self.networks)).cpu()

    def segment(self, prepared: PreparedImage) -> NDArray[np.bool_]:
        """Region masks (3, Z, Y, X) of a prepared case on its input grid."""
        image, brain = torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)
        with self.following(image, brain) as logits:
            return restore_regions(logits.numpy(), prepared)

    def predict(self, case: Case) -> NDArray[np.bool_]:
        """Region masks (3, Z, Y, X) of a case on its input grid.

        Raises:
            PedsegError: as `prepare`.
        """
        return self.segment(self.prepare(case))

    def record(self, convention: LabelConvention) -> dict[str, Any]:
        """What decides the label maps: checkpoints, settings and label convention."""
        return {"checkpoints": self.identities, **self.settings.deciding, "convention": str(convention)}


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    output: Path,
    *,
    convention: LabelConvention,
    overwrite: bool = False,
) -> list[Problem]:
    """Write ``<output>/<case id>.nii.gz`` for every case, on the case's own grid.

    One case is predicted at a time while the next one is read. A case that cannot be predicted is reported and the
    rest go on. Label maps that are there already were made by the same networks in the same way (``predictions.json``
    tells) and are kept. `overwrite` predicts these cases again whoever made their label maps; no other file is touched.

    Returns:
        What went wrong, in the order of the cases.

    Raises:
        PedsegError: `output` holds label maps that were made in another way, or a label map would replace an image.
    """
    paths = {case.id: output / f"{safe_name(case.id)}.nii.gz" for case in cases}
    _protect_images(cases, set(paths.values()))
    claim(output, predictor.record(convention), replaced=set(paths.values()) if overwrite else set())
    waiting = [case for case in cases if not paths[case.id].exists()]
    problems: list[Problem] = []
    before = len(predictor.adaptations_kept)
    for case, prepared in track(_prefetch(predictor, waiting), description="predicting", total=len(waiting)):
        try:
            regions = predictor.segment(prepared.result())
            write_label_map(paths[case.id], labels_from_regions(regions, convention), like=case.images[0])
        except CASE_ERRORS as error:
            problems.append(problem_of(case, error))
    if kept := predictor.adaptations_kept[before:]:
        log.info("test-time adaptation: kept for %d of %d cases", sum(kept), len(kept))
    return problems


def problem_of(case: Case, error: Exception) -> Problem:
    """What went wrong with a case (one of `CASE_ERRORS`), and what to do."""
    what = str(error) or type(error).__name__
    file = next((image.path.name for image in case.images if image.path.name in what), "")
    if isinstance(error, torch.OutOfMemoryError):
        remedy = "predict with --window-batch 1 and --adapt-steps 0, or with --device cpu"
        return Problem(case.id, file, what.splitlines()[0], remedy)
    if isinstance(error, PedsegError):
        return Problem(case.id, file, what, "mend the file and run the command again")
    return Problem(case.id, file, what, "make room (disk, memory) and run the command again; finished cases are kept")


def _protect_images(cases: Sequence[Case], outputs: set[Path]) -> None:
    outputs = {path.resolve() for path in outputs}
    for case in cases:
        for image in case.images:
            if image.path.resolve() in outputs:
                raise PedsegError(f"{image.path} would be replaced by the label map of {case.id}; give another output")


def claim(output: Path, record: dict[str, Any], *, replaced: Collection[Path] = ()) -> None:
    """Note in `output` how its label maps are made, or check that they are made like that.

    Label maps among `replaced` are removed, so that a run that is cut off leaves none of the old ones behind.

    Raises:
        PedsegError: label maps that stay were made in another way, or nobody knows how. Nothing is removed then.
    """
    note = output / RECORD
    present = sorted(output.glob("*.nii.gz"))
    staying = [path for path in present if path not in replaced]
    if staying and (not note.exists() or read_json(note) != record):
        raise PedsegError(
            f"{output} holds {len(staying)} label maps made by other checkpoints or settings ({staying[0].name} …); "
            "give another output folder, move them away, or overwrite (which replaces those of the same cases only)"
        )
    for path in present:
        if path in replaced:
            path.unlink()
    write_json(note, record)


def _prefetch(predictor: Predictor, cases: Sequence[Case]) -> Iterator[tuple[Case, "Future[PreparedImage]"]]:
    """Read the next case while one is predicted: at most two are in memory."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = [pool.submit(predictor.prepare, case) for case in cases[:1]]
        for index, case in enumerate(cases):
            current = pending.pop()
            current.exception()  # wait, so that only one more is read meanwhile
            if index + 1 < len(cases):
                pending.append(pool.submit(predictor.prepare, cases[index + 1]))
            yield case, current


def _mean_thresholds(networks: Sequence[UNet]) -> Tensor | None:
    """Thresholds (regions,) of the mean of the logits; None if no network has any."""
    if all(network.thresholds is None for network in networks):
        return None
    return torch.tensor([network.settings.get("thresholds", [0.0] * len(Region)) for network in networks]).mean(0)


def _check_ensemble(checkpoints: Sequence[Path], loaded: Sequence[LoadedNetwork]) -> None:
    first = loaded[0]
    for path, other in zip(checkpoints[1:], loaded[1:], strict=True):
        if (other.patch_size, other.spacing_mm) != (first.patch_size, first.spacing_mm):
            raise PedsegError(
                f"{path} has patch {other.patch_size} at {other.spacing_mm} mm, {checkpoints[0]} has "
                f"{first.patch_size} at {first.spacing_mm} mm; an ensemble needs the same"
            )
