"""Time a training step of every adapting experiment against the plain UDA step, and prediction with TENT.

Run: ``python -m tests.benchmarks.bench_methods --size 40 48 40``. Every step is a real one, Lightning's loop with
gradient clipping and the callbacks of a run, on random images and at 0.9 of the training, when every term is on. Steps
of all experiments take turns, the first of each turn warms up, and medians are compared with those of the supervised
step (the same global batch, all of it labelled) and of ``uda``. ``--memory`` adds the growth of resident memory over
a step, each in a process of its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from pedseg.assembly import build_module
from pedseg.callbacks import AdversaryHealth, EpochLine, StepTimer
from pedseg.hardware import describe_machine, fast_precision
from pedseg.inference import Settings
from pedseg.inference.sliding_window import sliding_window_logits
from pedseg.inference.tent import adapted
from pedseg.modules import SegmentationModule
from tests import composed

SUPERVISED, PLAIN = "m3_mixed_nods", "uda"
TENT = "tent"
TWICE = 2.0
REASONS = {
    "uda_advent": "its classifier reads maps of full size, 8 times the voxels of the stage that uda's reads",
    "uda_released": "its classifier's last blocks see twice the edge: the last one is not pooled",
}


class Steps(Callback):
    """Notes the seconds of each step, from the batch to the end of the update."""

    def __init__(self) -> None:
        self.start = 0.0
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self.start)


def experiments() -> list[str]:
    """The supervised step, the plain one, and every other that methods make; of equal ones the first by name."""
    steps: dict[str, str] = {}
    for name, config in composed.experiments().items():
        if config["adaptation"] and not config["data"].get("opposed"):
            steps.setdefault(repr((config["adaptation"], config["model"])), name)
    return [SUPERVISED, PLAIN, *(name for name in steps.values() if name != PLAIN), TENT]


def build(experiment: str, arguments: argparse.Namespace) -> SegmentationModule:
    """The module of an experiment as the demo scale builds it, for patches of the given size."""
    size = ",".join(map(str, arguments.size))
    overrides = ["scale=demo", f"experiment={experiment}", f"data.patch_size=[{size}]"]
    overrides += [f"model.base_features={arguments.base_features}", f"model.max_features={8 * arguments.base_features}"]
    torch.manual_seed(0)
    return build_module(composed.settings(*overrides), spacing_mm=(1.0, 1.0, 1.0))


def make_batch(experiment: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Random patches with air around the brain; all of them are labelled where there is no target."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(arguments.batch, 4, *arguments.size, generator=generator)
    images[..., : arguments.size[-1] // 4] = 0
    labels = (torch.rand(arguments.batch, 3, *arguments.size, generator=generator) > 0.9).float()
    adapts = composed.experiments()[experiment]["data"]["target"]
    half = arguments.batch // 2 if adapts else arguments.batch
    batch: dict[str, Any] = {"source": {"image": images[:half], "label": labels[:half]}}
    return batch | ({"target": {"image": images[half:]}} if half < arguments.batch else {})


def seconds_of_steps(module: SegmentationModule, batch: dict[str, Any], *, steps: int, precision: Any) -> list[float]:
    """Seconds of `steps` training steps after one that warms up."""
    times = Steps()
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", precision=precision, gradient_clip_val=12, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[StepTimer(), AdversaryHealth(), EpochLine("bench"), times],
    )  # fmt: skip
    trainer.fit(module, DataLoader([batch] * (steps + 1), batch_size=None))  # type: ignore[arg-type]
    return times.seconds[1:]


def measure(arguments: argparse.Namespace) -> None:
    """Print the table of training steps."""
    names = [name for name in arguments.only or experiments() if name != TENT]
    modules = {name: build(name, arguments) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name, module in modules.items():
            batch = make_batch(name, arguments)
            seconds[name] += seconds_of_steps(module, batch, steps=arguments.steps, precision=arguments.precision)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    plain, supervised = (medians.get(name, float("nan")) for name in (PLAIN, SUPERVISED))
    sys.stdout.write("  ms/step  × uda  × supervised\n")
    for name, median in medians.items():
        ratio = median / plain
        row = f"{1e3 * median:9.1f}  {ratio:5.2f}  {median / supervised:12.2f}  {name}"
        row += f"  {memory_of(name):.0f} MiB" if arguments.memory else ""
        row += f"  ({REASONS.get(name, 'no reason is known')})" if ratio > TWICE else ""
        sys.stdout.write(row + "\n")


def memory_of(name: str) -> float:
    """MiB by which a step makes a fresh process grow."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_methods", *sys.argv[1:], "--growth", "--only", name]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return float(json.loads(lines[-1]))


def print_growth(arguments: argparse.Namespace) -> None:
    """Print the growth of resident memory over two steps."""
    (name,) = arguments.only
    module, batch = build(name, arguments), make_batch(name, arguments)
    before = peak_mib()
    seconds_of_steps(module, batch, steps=1, precision=arguments.precision)
    sys.stdout.write(json.dumps(peak_mib() - before) + "\n")


def peak_mib() -> float:
    """Highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def measure_tent(arguments: argparse.Namespace) -> None:
    """Print what adapting to a case adds to its prediction: the network's own prediction is made in both."""
    network = build(SUPERVISED, arguments).network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    image = torch.randn(4, *(2 * n for n in arguments.size))
    brain = image[0] > -1
    settings = Settings(adapt_steps=10, precision="bf16" if arguments.precision == "bf16-mixed" else "32")
    taken: dict[str, list[float]] = {"plain": [], "steps": [], "tent": []}
    for _ in range(arguments.rounds + 1):
        marks = [time.perf_counter()]
        predict(network, image, arguments, settings)
        marks.append(time.perf_counter())
        with adapted(network, image, brain, patch_size=arguments.size, settings=settings):
            marks.append(time.perf_counter())
            predict(network, image, arguments, settings)
        marks.append(time.perf_counter())
        for name, start, end in (("plain", 0, 1), ("steps", 1, 2), ("tent", 0, 3)):
            taken[name].append(marks[end] - marks[start])
    plain, steps, tent = (statistics.median(values[1:]) for values in taken.values())
    sys.stdout.write(
        f"prediction of {tuple(image.shape[1:])}: plain {plain:.2f} s, with TENT {tent:.2f} s ({tent / plain:.2f} ×): "
        f"two predictions, of which the better is kept, and {settings.adapt_steps} steps of {steps:.2f} s together\n"
    )


@torch.inference_mode()
def predict(network: Any, image: torch.Tensor, arguments: argparse.Namespace, settings: Settings) -> None:
    """Predict a volume."""
    sliding_window_logits(network, image, patch_size=arguments.size, channels_last=True, **settings.windows)


def main() -> int:
    """Print the machine and the tables."""
    fast = "bf16-mixed" if fast_precision(torch.device("cpu")).precision == "bf16" else "32-true"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=[40, 48, 40])
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default=fast)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--growth", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    SegmentationModule.progress = property(lambda _: 0.9)  # type: ignore[assignment, method-assign]
    if arguments.growth:
        print_growth(arguments)
        return 0
    sys.stdout.write(f"{describe_machine()}\n{arguments.precision}, {arguments.size}, batch {arguments.batch}, ")
    sys.stdout.write(f"{arguments.base_features} features, {torch.get_num_threads()} threads, warm\n")
    measure(arguments)
    if not arguments.only or TENT in arguments.only:
        measure_tent(arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
