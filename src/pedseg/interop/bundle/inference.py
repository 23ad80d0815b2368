"""What configs/inference.json of an exported MONAI bundle names; the bundle carries a copy of this file.

The bundle predicts through the same `Predictor` as ``pedseg predict``.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from pedseg.cases import Discovery
from pedseg.errors import PedsegError, ProblemsError
from pedseg.files import sha256
from pedseg.hardware import Precision
from pedseg.inference import LoadedNetwork, Predictor, Settings, predict_cases, sliding_window_logits
from pedseg.inference.checkpoint import plain_tensors, read_checkpoint
from pedseg.labels import get_convention
from pedseg.networks import SegmentationNetwork


class WindowInferer:
    """Lays windows over volumes; has the interface of MONAI's inferers.

    Args:
        patch_size: voxels of a window.
        step: distance of neighbouring windows as a part of the patch.
        mirror: average over the mirrorings.
        mirror_axes: axes (0 z, 1 y, 2 x) that windows are mirrored along.
        precision: "32" or "bf16"; MONAI's command line makes a number of the first.
        window_batch: windows per forward pass.

    Raises:
        PedsegError: the precision is unknown.
    """

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        step: float = 0.5,
        mirror: bool = True,
        mirror_axes: Sequence[int] = (0, 1, 2),
        precision: str | int = "32",
        window_batch: int = 1,
    ) -> None:
        precisions = {str(name): name for name in get_args(Precision)}
        if str(precision) not in precisions:
            raise PedsegError(f"precision {precision!r} is unknown; use one of {', '.join(precisions)}")
        self.patch_size = tuple(patch_size)
        self.mirror_axes = tuple(mirror_axes)
        self.settings = Settings(
            step=step, mirror=mirror, precision=precisions[str(precision)], window_batch=window_batch
        )

    def __call__(self, inputs: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Logits (B, R, D, H, W) of normalised images (B, C, D, H, W)."""
        windows = {"patch_size": self.patch_size, "mirror_axes": self.mirror_axes, **self.settings.windows}
        return torch.stack([sliding_window_logits(network, image, **windows) for image in inputs])


class CaseEvaluator:
    """Writes a label map for every case of a folder.

    Args:
        dataset: what `pedseg.cases.find_cases` found.
        output_dir: folder for ``<case id>.nii.gz``.
        network: of the right shape; its weights are replaced.
        models: state dicts; the logits of several are averaged.
        inferer: how windows are laid.
        spacing_mm: voxel size (z, y, x) that the networks were trained at.
        device: where they run.
        thresholds: logits of the regions above which a voxel is inside; None for 0.
        convention: voxel labels to write.
        overwrite: predict cases again that have a label map.

    Raises:
        PedsegError: a model is absent or does not fit the network, or the convention is unknown.
    """

    def __init__(
        self,
        *,
        dataset: Discovery,
        output_dir: str,
        network: SegmentationNetwork,
        models: Sequence[str],
        inferer: WindowInferer,
        spacing_mm: Sequence[float],
        device: torch.device | str,
        thresholds: Sequence[float] | None = None,
        convention: str = "brats2023",
        overwrite: bool = False,
    ) -> None:
        z, y, x = spacing_mm

        def load(path: Path) -> LoadedNetwork:
            weighted = load_weights(network, path)
            return LoadedNetwork(weighted, inferer.patch_size, (z, y, x), sha256(path), inferer.mirror_axes)

        self.dataset = dataset
        self.output = Path(str(output_dir))
        self.convention = get_convention(convention)
        self.overwrite = overwrite
        self.predictor = Predictor(
            [Path(model) for model in models],
            device=torch.device(device),
            settings=inferer.settings,
            load=load,
            thresholds=[thresholds] * len(models),
        )

    def run(self) -> None:
        """Predict.

        Raises:
            PedsegError: the output folder holds label maps that were made in another way.
            ProblemsError: some cases have no label map; those of the rest have been written.
        """
        cases = self.dataset.cases
        self.dataset.say()
        problems = [
            *self.dataset.problems,
            *predict_cases(self.predictor, cases, self.output, convention=self.convention, overwrite=self.overwrite),
        ]
        if problems:
            raise ProblemsError(f"{len({problem.case for problem in problems})} cases have no label map:", problems)


def load_weights(network: SegmentationNetwork, path: Path) -> SegmentationNetwork:
    """A copy of `network` with the weights of a state dict, in evaluation mode.

    Raises:
        PedsegError: the file is absent or does not fit.
    """
    if not path.is_file():
        raise PedsegError(f"{path}: no such model; run in the folder of the bundle, or give --bundle_root")
    loaded = copy.deepcopy(network).cpu()
    weights = read_checkpoint(path)
    try:
        loaded.load_state_dict(plain_tensors(weights))
    except (AttributeError, RuntimeError, PedsegError) as error:
        raise PedsegError(f"{path}: is damaged or of another network ({error}); export the bundle again") from error
    return loaded.eval()
