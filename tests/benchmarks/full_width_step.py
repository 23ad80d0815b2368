"""One training step of the full-width adaptation model: 128³ patches, 31 million parameters, the paper's classifier.

Run: ``python tests/benchmarks/full_width_step.py --batch 4``. Prints seconds, peak memory and the loss. About 20 GB
in float32 with the paper's batch of 4 (2 source and 2 target patches).
"""

import argparse
import resource
import sys
import time
from functools import partial

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from pedseg.adaptation import DomainAdversary
from pedseg.modules import AdaptationModule
from pedseg.modules.segmentation import Batch
from pedseg.networks import UNet
from pedseg.schedules import inverse_decay

PATCH = (128, 128, 128)
DECODER_STAGE = 4


class StepTimes(Callback):
    """Notes the seconds of each step."""

    def __init__(self) -> None:
        self.start = 0.0
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Stop the clock."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.start)


def build(*, channels_last: bool) -> AdaptationModule:
    """Make the paper's model."""
    network = UNet(patch_size=PATCH)
    adversary = DomainAdversary(alpha_max=3.0, lambda_domain=0.01, alpha_start=-0.2, decoder_stage=[DECODER_STAGE])
    return AdaptationModule(
        network=network,
        methods={"dann": adversary},
        optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5),
        lr_schedule=inverse_decay,
        channels_last=channels_last,
    )


def make_batch(samples: int) -> Batch:
    """Random patches, half of them labelled; a single one is labelled."""
    n = max(samples // 2, 1)
    batch: Batch = {"source": {"image": torch.randn(n, 4, *PATCH), "label": (torch.rand(n, 3, *PATCH) > 0.9).float()}}
    if samples > n:
        batch["target"] = {"image": torch.randn(samples - n, 4, *PATCH)}
    return batch


def main() -> int:
    """Train the steps and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed", "16-mixed"], default="32-true")
    parser.add_argument("--channels-last", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    times = StepTimes()
    trainer = Trainer(
        max_epochs=1,
        precision=arguments.precision,
        gradient_clip_val=12,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[times],
    )
    batches = [make_batch(arguments.batch)] * arguments.steps
    module = build(channels_last=arguments.channels_last)
    trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    sys.stdout.write(
        f"batch {arguments.batch}, {arguments.precision}, channels_last {arguments.channels_last}: "
        f"median step {sorted(times.seconds)[len(times.seconds) // 2]:.2f} s, peak {kilobytes / 2**20:.1f} GiB resident"
    )
    if torch.cuda.is_available():
        sys.stdout.write(f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU")
    measured = {name: round(float(value), 4) for name, value in sorted(trainer.callback_metrics.items())}
    sys.stdout.write(f"\n{measured}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
