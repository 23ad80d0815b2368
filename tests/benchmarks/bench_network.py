"""Time a training step of the U-Net against nnU-Net's own network.

Run: ``python tests/benchmarks/bench_network.py --patch 64 --batch 2 --base-features 8``. With PEDSEG_PEERS_PYTHON set
the reference is nnU-Net's PlainConvUNet in that interpreter, else MONAI's DynUNet; both in plain float32. Processes
take turns, and the fastest step of each counts, because a shared machine only ever adds time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

Step = Callable[[], None]

PEER_PROGRAM = """
import json, sys, time, torch
from torch import nn
from dynamic_network_architectures.architectures.unet import PlainConvUNet
a = json.loads(sys.argv[1])
torch.set_num_threads(a["threads"])
n = len(a["features"])
net = PlainConvUNet(4, n, a["features"], nn.Conv3d, a["kernels"], a["strides"], [2] * n, 3, [2] * (n - 1), True,
                    nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True})
optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.99, nesterov=True)
x = torch.randn(a["batch"], 4, *a["patch"])
for _ in range(a["steps"] + 1):
    start = time.perf_counter()
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
    print(time.perf_counter() - start)
"""


def training_step(network: nn.Module, image: Tensor, *, bf16: bool) -> Step:
    """Return one forward, backward and SGD update on `image`."""
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.99, nesterov=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(image)
        logits.float().square().mean().backward()
        optimizer.step()

    return step


def fastest(step: Step, *, steps: int) -> float:
    """Seconds of the fastest of `steps` calls after one that warms up."""
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def ours(arguments: argparse.Namespace, *, channels_last: bool, plain_norm: bool) -> tuple[nn.Module, Tensor]:
    """Build the U-Net (with PyTorch's instance norm if `plain_norm`) and a batch for it."""
    from pedseg.networks import UNet
    from pedseg.networks.normalisation import InstanceNorm

    patch = (arguments.patch,) * 3
    network: nn.Module = UNet(patch_size=patch, base_features=arguments.base_features)
    if plain_norm:
        for child in network.modules():
            if isinstance(child, InstanceNorm):
                child.__class__ = nn.InstanceNorm3d  # type: ignore[assignment]
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    image = torch.randn(arguments.batch, 4, *patch)
    return network.to(memory_format=layout), image.to(memory_format=layout)  # type: ignore[call-overload]


def dynunet_seconds(arguments: argparse.Namespace) -> float:
    """Seconds of MONAI's DynUNet of the same shape."""
    from monai.networks.nets.dynunet import DynUNet

    from pedseg.networks.topology import plan_topology

    t = plan_topology(patch_size=(arguments.patch,) * 3, base_features=arguments.base_features)
    network = DynUNet(3, 4, 3, t.kernels, t.strides, t.strides[1:], filters=t.features, trans_bias=True)
    image = torch.randn(arguments.batch, 4, *(arguments.patch,) * 3)
    return fastest(training_step(network, image, bf16=False), steps=arguments.steps)


def peer_seconds(python: str, arguments: argparse.Namespace) -> float:
    """Seconds of nnU-Net's network, in its own interpreter."""
    from pedseg.networks.topology import plan_topology

    patch = [arguments.patch] * 3
    t = plan_topology(patch_size=patch, base_features=arguments.base_features)
    settings = {"features": t.features, "kernels": t.kernels, "strides": t.strides, "patch": patch}
    settings |= {"threads": arguments.threads, "batch": arguments.batch, "steps": arguments.steps}
    command = [python, "-c", PEER_PROGRAM, json.dumps(settings)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return min(float(line) for line in output.split()[1:])


def main() -> int:
    """Print seconds per step and the ratio to the reference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    python = os.environ.get("PEDSEG_PEERS_PYTHON")
    name = "nnU-Net float32" if python else "MONAI DynUNet float32"
    best: dict[str, float] = {}
    for _ in range(arguments.rounds):
        seconds = peer_seconds(python, arguments) if python else dynunet_seconds(arguments)
        best[name] = min(best.get(name, seconds), seconds)
        for bf16 in (False, True):
            for channels_last in (False, True):
                for plain_norm in (True, False):
                    network, image = ours(arguments, channels_last=channels_last, plain_norm=plain_norm)
                    step = training_step(network, image, bf16=bf16)
                    key = f"pedseg {'bf16' if bf16 else 'float32'}{', channels-last' if channels_last else ''}"
                    key += ", PyTorch's instance norm" if plain_norm else ""
                    seconds = fastest(step, steps=arguments.steps)
                    best[key] = min(best.get(key, seconds), seconds)
    for key, seconds in best.items():
        sys.stdout.write(f"{seconds:8.3f} s  {seconds / best[name]:5.2f}  {key}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
