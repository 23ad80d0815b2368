"""Peak memory of a training step and of a prediction, computed without computing: fake tensors have sizes, no values.

Not seen is what a kernel takes for itself (oneDNN's scratchpads, cuDNN's workspaces) and what an allocator keeps.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer

from pedseg.data.sampling import side_sizes
from pedseg.hardware import Precision, autocast
from pedseg.inference.sliding_window import sliding_window_logits
from pedseg.labels import Domain, Region
from pedseg.modules import AdaptationModule, OpposedModule, SegmentationModule
from pedseg.modules.segmentation import Batch
from pedseg.networks import SegmentationNetwork
from pedseg.networks.normalisation import InstanceNorm
from pedseg.planning.live import LiveBytes

Kind = TypeVar("Kind", bound=nn.Module)
CPU = torch.device("cpu")
CHANNELS = 4
FLOAT = 4  # bytes of a float32
EPOCHS = 1000
STEPS = 2  # the first makes the optimiser's state; the second has that and the first one's gradients
CUDA_CONTEXT = 512 << 20  # estimate: CUDA's context with the kernels that are loaded, and cuDNN's workspaces


@dataclass(frozen=True, slots=True)
class StepMemory:
    """Bytes at the worst moment of a training step.

    Attributes:
        parameters: weights and buffers of the module, those of a teacher and of classifiers with it.
        gradients: of the trained parameters.
        optimizer: state of the optimiser.
        peak: what lives of all this at the worst moment, with the batch, saved activations and temporaries.
    """

    parameters: int
    gradients: int
    optimizer: int
    peak: int


def step_memory(
    module: SegmentationModule,
    *,
    patch_size: Sequence[int],
    batch_size: int,
    two_sides: bool,
    precision: Precision,
    gpu: bool,
    clip: float | None = None,
    ignored: bool = False,
) -> StepMemory:
    """Memory of a training step, in the last epoch: every schedule has reached its end by then.

    Args:
        module: what is trained; it is neither changed nor run.
        patch_size: voxels (z, y, x).
        batch_size: patches of both sides together.
        two_sides: whether a batch has a target side.
        precision: of the forward pass.
        gpu: compute as on a GPU, where the norms take other kernels and the optimiser all parameters at once.
        clip: largest norm of the gradient; None for no limit.
        ignored: whether labels have a mask of ignored voxels.
    """
    labelled = isinstance(module, OpposedModule)
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        fake = _fake(module, gpu=gpu)
        parameters = live.now
        optimizer = fake.configure_optimizers()
        for group in optimizer.param_groups:
            group["foreach"] = gpu
        ready(fake, optimizer)
        for step in range(STEPS):
            live.peak = 0
            batch = make_batch(patch_size, batch_size, two_sides=two_sides, labelled=labelled, ignored=ignored)
            train_step(fake, optimizer, batch, number=step, precision=precision, clip=clip)
        state = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
        gradients = [p.grad for p in fake.parameters() if p.grad is not None]
        return StepMemory(parameters, _bytes(gradients), _bytes(state), live.peak)


def prediction_memory(
    network: SegmentationNetwork, *, shape: Sequence[int], window_batch: int, precision: Precision, gpu: bool
) -> int:
    """Bytes at the worst moment of the prediction of an image of `shape` (z, y, x) voxels.

    A window of the image, some as a mirror image, and beside it what of the image and of the sums of logits lies
    outside that window.
    """
    patch_size, channels, regions = network.form.patch_size, network.form.in_channels, network.form.out_channels
    outside = math.prod(map(max, shape, patch_size)) - math.prod(patch_size)
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        fake = _fake(network, gpu=gpu).eval()
        sliding_window_logits(
            fake.forward,
            torch.empty(channels, patch_size[0] * window_batch, *patch_size[1:]),
            patch_size=patch_size,
            step=1.0,
            mirror_axes=(0,),
            window_batch=window_batch,
            precision=precision,
            channels_last=True,
        )
        beyond = max(0, outside - (window_batch - 1) * math.prod(patch_size))
        return int(live.peak) + (channels + regions) * FLOAT * beyond


def _fake(module: Kind, *, gpu: bool) -> Kind:
    """Copy a module, with fake parameters and buffers of the same sizes and layouts."""
    known: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        known[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    fake = copy.deepcopy(module, known)
    for part in fake.modules():
        if gpu and isinstance(part, InstanceNorm):
            part.__class__ = nn.InstanceNorm3d  # type: ignore[assignment]  # what InstanceNorm is on other devices than the CPU
    return fake


def ready(module: SegmentationModule, optimizer: Optimizer) -> None:
    """Give a module a Trainer in its last epoch."""
    trainer = Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.optimizers = [optimizer]
    trainer.fit_loop.epoch_progress.current.processed = EPOCHS - 1  # type: ignore[attr-defined]
    module.trainer = trainer
    module.log = _ignore  # type: ignore[method-assign]
    module.on_train_epoch_start()


def _ignore(*arguments: object, **settings: object) -> None:
    """Log nothing."""


def make_batch(
    patch_size: Sequence[int],
    batch_size: int,
    *,
    two_sides: bool,
    labelled: bool,
    device: torch.device = CPU,
    ignored: bool = False,
) -> Batch:
    """What the module is handed: `batch_size` patches whose values are of no account.

    Args:
        patch_size: voxels (z, y, x).
        batch_size: patches of both sides together.
        two_sides: whether there is a target side.
        labelled: whether that side has labels too, as `OpposedModule` needs.
        device: where they are.
        ignored: whether labels have a mask of ignored voxels.
    """
    sides = side_sizes(batch_size, 0, adapt=two_sides)
    batch: Batch = {}
    for side, size in sides.items():
        if size:
            batch[side] = {"image": torch.empty(size, CHANNELS, *patch_size, device=device)}
        if size and (side is Domain.SOURCE or labelled):
            batch[side]["label"] = torch.empty(size, len(Region) + ignored, *patch_size, device=device)
    return batch


def train_step(
    module: SegmentationModule,
    optimizer: Optimizer,
    batch: Batch,
    *,
    number: int,
    precision: Precision,
    clip: float | None,
) -> None:
    """One step in Lightning's order, in which the old gradients live until the forward pass is done."""
    with autocast(module.device, precision):
        loss = module.training_step(batch, number + 1)  # a step whose gradient norms are not logged
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    if isinstance(module, AdaptationModule):
        module.on_train_batch_end()


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
