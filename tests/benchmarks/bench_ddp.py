"""Time a UDA step of two gloo processes with one thread each against one process of two threads, same global batch.

Run: ``python -m tests.benchmarks.bench_ddp --size 40 48 40``. Steps are real ones of Lightning's loop, on random images
and past the ramp of alpha, with channels-last weights. Programs take turns, the first steps of each warm up, medians
are compared. Printed too: what a step sends through gloo, and DDP's warnings of strides, which would mean copies.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from pedseg.adaptation import DomainAdversary
from pedseg.adaptation.adversary import Classifier
from pedseg.hardware import describe_machine, fast_precision
from pedseg.modules import AdaptationModule
from pedseg.modules.segmentation import Batch
from pedseg.networks import UNet
from pedseg.schedules import constant

WARM_UP = 2  # steps; DDP lays its buckets out anew after the first
STRIDES = "Grad strides do not match"


class Steps(Callback):
    """Notes the seconds of each step, and the bytes that its gradients send to the other processes."""

    def __init__(self) -> None:
        self.start = 0.0
        self.seconds: list[float] = []
        self.sent: list[int] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch what is reduced. Lightning itself gives hooks to GPUs alone."""
        if isinstance(trainer.strategy.model, DistributedDataParallel):
            trainer.strategy.model.register_comm_hook(self, counted_reduction)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Start the clock."""
        self.sent.append(0)
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self.start)


def counted_reduction(steps: Steps, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:  # type: ignore[name-defined]
    """DDP's own reduction of a bucket, whose bytes are noted."""
    steps.sent[-1] += bucket.buffer().nbytes
    return allreduce_hook(dist.distributed_c10d._get_default_group(), bucket)


def build(arguments: argparse.Namespace) -> AdaptationModule:
    """The UDA model of the demo scale, for patches of the given size."""
    torch.manual_seed(0)
    network = UNet(patch_size=arguments.size, base_features=arguments.base_features, max_features=64)
    adversary = DomainAdversary(
        alpha_max=3.0,
        lambda_domain=0.01,
        alpha_start=-2.0,
        alpha_end=-1.0,
        classifier=Classifier(channels=32, blocks=3),
    )
    return AdaptationModule(
        network=network,
        methods={"dann": adversary},
        optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.99, nesterov=True),
        lr_schedule=constant,
        channels_last=True,
    )


def make_batch(samples: int, size: list[int]) -> Batch:
    """Random patches, half of them labelled."""
    n = samples // 2
    label = (torch.rand(n, 3, *size) > 0.9).float()
    return {
        "source": {"image": torch.randn(n, 4, *size), "label": label},
        "target": {"image": torch.randn(n, 4, *size)},
    }


def train(arguments: argparse.Namespace) -> None:
    """Train in this process and those it starts; the first one prints what it measured."""
    world, steps = arguments.processes, Steps()
    torch.set_num_threads(2 // world)
    strategy: Any = "auto"
    if world > 1:
        strategy = DDPStrategy(process_group_backend="gloo")
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", devices=world, strategy=strategy, precision=arguments.precision, logger=False,
        gradient_clip_val=12, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, callbacks=[steps],
    )  # fmt: skip
    batches = [make_batch(arguments.batch // world, arguments.size)] * (WARM_UP + arguments.steps)
    trainer.fit(build(arguments), DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    if trainer.is_global_zero:
        sys.stdout.write(json.dumps({"seconds": steps.seconds[WARM_UP:], "sent": steps.sent[-1]}) + "\n")


def run(processes: int) -> dict[str, Any]:
    """What a program of its own measured, and how many warnings of strides it gave."""
    command = [sys.executable, __file__, *sys.argv[1:], "--processes", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": str(2 // processes)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    line = next(line for line in done.stdout.splitlines() if line.startswith("{"))
    measured: dict[str, Any] = json.loads(line)
    return measured | {"warnings": done.stderr.count(STRIDES)}


def main() -> int:
    """Print the machine and what two processes cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=[40, 48, 40])
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4, help="samples of all processes together")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    fast = "bf16-mixed" if fast_precision(torch.device("cpu")).precision == "bf16" else "32-true"
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default=fast)
    parser.add_argument("--processes", type=int, choices=[1, 2], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.processes:
        train(arguments)
        return 0
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for processes, seconds in taken.items():
            measured = run(processes)
            seconds.extend(measured["seconds"])
    one, two = (statistics.median(seconds) for seconds in taken.values())
    sys.stdout.write(
        f"{describe_machine()}\n{arguments.precision}, {arguments.size}, global batch {arguments.batch}, warm\n"
        f"one process, two threads: {1e3 * one:.1f} ms a step\n"
        f"two processes, one thread each: {1e3 * two:.1f} ms ({two / one:.2f} ×), "
        f"{measured['sent'] / 2**20:.2f} MiB of gradients reduced, {measured['warnings']} warnings of strides\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
