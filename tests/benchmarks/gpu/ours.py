"""This package's part of the measurements: ``python -m tests.benchmarks.gpu.ours JOBS RESULTS``."""

import gc
import itertools
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch.backends import cudnn

from pedseg.assembly import build_data, build_module, build_trainer, on_this_machine, select
from pedseg.callbacks import StepTimer
from pedseg.commands.hydra_run import compose
from pedseg.inference import Predictor, Settings
from pedseg.inference.checkpoint import LoadedNetwork
from pedseg.networks import UNet
from pedseg.settings.run import RunSettings
from tests.benchmarks.gpu.jobs import Job, Result
from tests.benchmarks.gpu.world import SIZES, UNLABELLED, Size, paths_of

WARM_UP = 10  # steps: cuDNN and the loader's workers have settled


class StepIntervals(Callback):
    """Seconds from the end of one step to the end of the next; nothing here waits for the GPU, as in a run."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def median(self, *, warm_up: int) -> float:
        """Median after `warm_up` steps."""
        ends = self.ends[warm_up - 1 :]
        return statistics.median(after - before for before, after in itertools.pairwise(ends))


def train(job: Job, size: Size, common: Mapping[str, Any]) -> Result:
    """Train as ``pedseg train`` does, for one epoch without validation and checkpoints."""
    warm_up = min(WARM_UP, common["steps"])
    overrides = [
        *size.overrides, *paths_of(Path(common["folder"])), f"experiment={job.experiment}", UNLABELLED, "fold=all",
        f"seed={common['seed']}",
        f"trainer.accelerator={'gpu' if common['device'] == 'cuda' else 'cpu'}", f"trainer.devices={job.devices}",
        f"trainer.precision={job.precision}", f"trainer.strategy={'ddp' if job.devices > 1 else 'auto'}",
        "trainer.max_epochs=1", f"trainer.limit_train_batches={warm_up + common['steps']}",
        "trainer.limit_val_batches=0", "trainer.enable_progress_bar=false", f"trainer.benchmark={job.benchmark}",
    ]  # fmt: skip
    run, machine = on_this_machine(compose(RunSettings, overrides, config_name="train"), None)
    seed_everything(run.seed, workers=True, verbose=False)
    data = build_data(run, select(run), workers=machine.workers)
    torch.set_num_threads(machine.threads)
    module = build_module(run, spacing_mm=data.spacing_mm)
    intervals = StepIntervals()
    trainer = build_trainer(run, callbacks=[StepTimer(), intervals], checkpoints=False)
    trainer.fit(module, datamodule=data)
    return Result(intervals.median(warm_up=warm_up), float(trainer.callback_metrics["time/data"]), peak_memory(common))


def predict(job: Job, size: Size, common: Mapping[str, Any]) -> Result:
    """Logits of a prepared case by a network of random weights, from and to the CPU."""
    torch.manual_seed(common["seed"])
    patch = (size.patch,) * 3
    network = UNet(patch_size=patch, base_features=size.features[0], max_features=size.features[1]).eval()
    precision: Any = job.precision
    predictor = Predictor(
        [Path("random.ckpt")],
        device=torch.device(common["device"]),
        settings=Settings(mirror=job.mirror, precision=precision),
        load=lambda _: LoadedNetwork(network, patch, (1.0, 1.0, 1.0), "random"),
    )
    image = torch.load(Path(common["folder"]) / "image.pt", weights_only=True)
    with cudnn.flags(enabled=True, benchmark=job.benchmark):
        predictor.logits(image)
        seconds = [_seconds(lambda: predictor.logits(image)) for _ in range(size.repeats)]
    return Result(statistics.median(seconds), None, peak_memory(common))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()  # returns when its logits are on the CPU
    return time.perf_counter() - start


def peak_memory(common: Mapping[str, Any]) -> float | None:
    """GiB that tensors have taken on the GPU at once since the job began."""
    return torch.cuda.max_memory_allocated() / 2**30 if common["device"] == "cuda" else None


def measure(job: Job, common: Mapping[str, Any]) -> Result:
    """Result of a job, or what went wrong."""
    gc.collect()
    if common["device"] == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        return {"train": train, "predict": predict}[job.kind](job, SIZES[common["size"]], common)
    except torch.OutOfMemoryError:
        return Result(failed="out of memory")
    except Exception as error:
        return Result(failed=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def main() -> int:
    """Measure all jobs; the first process writes."""
    warnings.filterwarnings("ignore")
    common = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for settings in common["jobs"]:
        result = measure(Job(**settings), common)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            with Path(sys.argv[2]).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
