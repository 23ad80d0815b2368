"""Two processes with half the batch each learn what one process learns with all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = """
import os, sys
from functools import partial
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader
from pedseg.adaptation import DomainAdversary
from pedseg.modules import AdaptationModule
from pedseg.networks import DomainClassifier, UNet
from pedseg.schedules import linear_ramp, poly_decay

PATCH = (16, 16, 16)

def batches(world):
    rank = int(os.environ.get("LOCAL_RANK", 0))
    mine = slice(rank * 2 // world, (rank + 1) * 2 // world)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        image, target = (torch.randn(2, 4, *PATCH, generator=generator) for _ in range(2))
        label = (torch.rand(2, 3, *PATCH, generator=generator) > 0.7).float()
        yield {"source": {"image": image[mine], "label": label[mine]}, "target": {"image": target[mine] + 1}}

world, path = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
torch.set_num_threads(1)
network = UNet(patch_size=PATCH, base_features=4, deep_supervision=True)
dann = DomainAdversary(
    classifiers={1: DomainClassifier(in_channels=8, input_size=(8, 8, 8), channels=16, blocks=2)},
    alpha_schedule=partial(linear_ramp, start=-0.5, end=0.5, maximum=2), lambda_domain=0.3)
module = AdaptationModule(
    network=network, methods={"dann": dann},
    optimizer=partial(torch.optim.SGD, lr=0.01, momentum=0.99, nesterov=True), lr_schedule=poly_decay)
strategy = DDPStrategy(process_group_backend="gloo") if world > 1 else "auto"
trainer = Trainer(max_epochs=2, accelerator="cpu", devices=world, strategy=strategy, logger=False,
                  enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
                  use_distributed_sampler=False)
loaders = [DataLoader(list(batches(world)), batch_size=None, shuffle=False) for _ in range(2)]
trainer.fit(module, *loaders)
if trainer.is_global_zero:
    metrics = {name: value.clone() for name, value in trainer.callback_metrics.items()}
    torch.save({"weights": module.state_dict(), "metrics": metrics}, path)
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without distributed")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    program = tmp_path / "train.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    saved = []
    for world in (1, 2):
        path = tmp_path / f"{world}.pt"
        command = [sys.executable, "-W", "ignore", str(program), str(world), str(path)]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
        saved.append(torch.load(path, weights_only=True))
    one, two = saved
    for name, weight in one["weights"].items():
        assert torch.allclose(two["weights"][name], weight, atol=1e-6, rtol=0), name
    assert one["metrics"].keys() == two["metrics"].keys()
    assert {"train/gradient_seg", "train/gradient_domain", "val/source/dice_mean"} <= one["metrics"].keys()
    for name, value in one["metrics"].items():
        assert two["metrics"][name].item() == pytest.approx(value.item(), abs=1e-5, rel=1e-4), name
