"""Two processes with half the batch each learn what one process learns with all of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

PROGRAM = """
import os, sys
from functools import partial
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader
from pedseg.adaptation import *
from pedseg.adaptation.adversary import Classifier
from pedseg.modules import AdaptationModule
from pedseg.networks import UNet
from pedseg.schedules import poly_decay

PATCH = (16, 16, 16)

def batches(world):
    rank = int(os.environ.get("LOCAL_RANK", 0))
    mine = slice(rank * 2 // world, (rank + 1) * 2 // world)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        image, target = (torch.randn(2, 4, *PATCH, generator=generator) for _ in range(2))
        image[..., :3], target[:1, ..., 6:] = 0, 0  # brains of different sizes
        label = (torch.rand(2, 3, *PATCH, generator=generator) > 0.7).float()
        yield {"source": {"image": image[mine], "label": label[mine]}, "target": {"image": target[mine] * 1.5}}

world, path, names = int(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
channels_last = "channels_last" in sys.argv[4:]
torch.manual_seed(0)
torch.set_num_threads(1)
norm = "batch" if "norm" in names else "instance"
network = UNet(patch_size=PATCH, base_features=4, deep_supervision=True, norm=norm)
rising = {"weight": 2.0, "start": -0.5, "end": 0.5}
def adversary(**settings):
    return DomainAdversary(
        alpha_max=2.0, alpha_start=-0.5, alpha_end=0.5, decoder_stage=[1],
        classifier=Classifier(channels=16, blocks=2), **settings)
makers = {
    "fourier": lambda: FourierStyle(probability=0.6, beta=0.1),
    "histogram": lambda: HistogramStyle(probability=0.6),
    "strong": lambda: StrongAugmentation(),
    "dann": lambda: adversary(lambda_domain=0.3),
    "conditioned": lambda: adversary(lambda_domain=0.1, reads="conditioned"),
    "mean_teacher": lambda: MeanTeacher(confidence=0.6, plausible={"et": (0, 0.95)}, **rising),
    "norm": lambda: DomainNorm(),
    "class_ratio": lambda: MeanTeacher(
        decay=0.5, confidence=0.6, shares={"wt": 0.4, "tc": 0.3, "et": 0.1}, **rising),
    "entropy": lambda: EntropyMinimisation(**rising),
    "prior": lambda: SizePrior(bounds={"tc": (0.85, 1), "et": (0.05, 0.3)}, **rising),
}
module = AdaptationModule(
    network=network, methods={name: makers[name]() for name in names},
    optimizer=partial(torch.optim.SGD, lr=0.01, momentum=0.99, nesterov=True), lr_schedule=poly_decay,
    channels_last=channels_last)
strategy = DDPStrategy(process_group_backend="gloo") if world > 1 else "auto"
trainer = Trainer(max_epochs=2, accelerator="cpu", devices=world, strategy=strategy, logger=False,
                  enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
                  use_distributed_sampler=False)
loaders = [DataLoader(list(batches(world)), batch_size=None, shuffle=False) for _ in range(2)]
trainer.fit(module, *loaders)
metrics = {name: value.clone() for name, value in trainer.callback_metrics.items()}
torch.save({"weights": module.state_dict(), "metrics": metrics}, f"{path}.{trainer.global_rank}")
"""
ADDITIVE = ("fourier", "histogram", "strong", "dann", "conditioned", "mean_teacher", "entropy")

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without distributed")


def trained(folder: Path, world: int, names: tuple[str, ...], *, channels_last: bool = False) -> list[dict[str, Any]]:
    """Weights and metrics of each process; DDP has found no gradient that it lays out anew."""
    program, path = folder / "train.py", folder / f"{world}.pt"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(world), str(path), ",".join(names)]
    command += ["channels_last"] * channels_last
    done = subprocess.run(
        command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "strides" not in done.stderr
    return [torch.load(f"{path}.{rank}", weights_only=True) for rank in range(world)]


@pytest.mark.parametrize("channels_last", [False, True])
def test_two_processes_equal_one_with_methods_that_are_means_over_samples(tmp_path: Path, channels_last: bool) -> None:
    (one,) = trained(tmp_path, 1, ADDITIVE, channels_last=channels_last)
    two, other = trained(tmp_path, 2, ADDITIVE, channels_last=channels_last)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weight, atol=1e-5, rtol=0, msg=name)
        assert torch.equal(two["weights"][name], other["weights"][name]), name
    assert one["metrics"].keys() == two["metrics"].keys()
    wanted = {"gradient_seg", "gradient_domain", "loss_consistency", "teacher_sure", "loss_entropy", "loss_domain"}
    assert {f"train/{name}" for name in wanted} | {"val/source/dice_mean"} <= one["metrics"].keys()
    for name, value in one["metrics"].items():
        assert two["metrics"][name].item() == pytest.approx(value.item(), abs=1e-5, rel=1e-4), name
    assert one["metrics"]["train/gradient_domain"] > 0
    assert 0 < one["metrics"]["train/teacher_sure"] < 1


THRESHOLDS = [f"train/threshold_{region}" for region in ("wt", "tc", "et")]
COUNTS = ("methods.class_ratio.shares.mass", "methods.class_ratio.shares.seen")


@pytest.mark.slow
def test_two_processes_have_the_thresholds_of_one(tmp_path: Path) -> None:
    """Their logits differ by rounding, so that a voxel may fall into the next bin and be labelled otherwise."""
    names = ("class_ratio",)
    (one,) = trained(tmp_path, 1, names)
    two, other = trained(tmp_path, 2, names)
    for name, weight in one["weights"].items():
        assert torch.equal(two["weights"][name], other["weights"][name]), name
        if name not in COUNTS:
            torch.testing.assert_close(two["weights"][name], weight, atol=1e-4, rtol=0, msg=name)
    mass, seen = (one["weights"][name] for name in COUNTS)
    assert seen == two["weights"][COUNTS[1]] == 4
    assert two["weights"][COUNTS[0]].sum(1).tolist() == pytest.approx(mass.sum(1).tolist())
    assert (two["weights"][COUNTS[0]] - mass).abs().sum() < 0.001 * mass.sum()
    for name in THRESHOLDS:
        assert one["metrics"][name] != 0
        assert two["metrics"][name].item() == other["metrics"][name].item()
        assert two["metrics"][name].item() == pytest.approx(one["metrics"][name].item(), abs=0.01)


def test_two_processes_train_with_batch_norms_that_know_the_domain(tmp_path: Path) -> None:
    """They learn the same weights and thresholds; nothing is promised of one process with the whole batch.

    Plain batch norms are normalised by the share of the batch that their process has, and what the first process
    remembers of its own share is what all go on with and what is saved. (On GPUs trainer=ddp synchronises them.)
    """
    first, second = trained(tmp_path, 2, ("norm", "class_ratio", "dann"))
    for name, weight in first["weights"].items():
        assert weight.isfinite().all(), name
        assert torch.equal(second["weights"][name], weight), name
    assert first["weights"][COUNTS[1]] == 4
    assert first["weights"]["network.encoder.0.norm1.num_batches_tracked"] == 4  # batches of the target alone
    for name in THRESHOLDS:
        assert first["metrics"][name].item() == second["metrics"][name].item() != 0


@pytest.mark.slow
def test_two_processes_stay_equal_with_the_size_prior(tmp_path: Path) -> None:
    """Each bounds the ratio of its own patches, so one process learns something else."""
    first, second = trained(tmp_path, 2, (*ADDITIVE, "prior"))
    for name, weight in first["weights"].items():
        assert torch.equal(second["weights"][name], weight), name
    assert first["metrics"]["train/loss_prior"] > 0
    for name, value in first["metrics"].items():
        assert second["metrics"][name].item() == pytest.approx(value.item(), nan_ok=True), name
