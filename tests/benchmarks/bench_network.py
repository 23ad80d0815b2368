"""Time a training step of the U-Net, and one with the paper's domain classifier, against nnU-Net's own network.

Run: ``python -m tests.benchmarks.bench_network`` after ``make peers``; ``--network residual_unet`` takes the residual
encoder. Each measurement is a process of its own, and
the processes take turns; the medians over the rounds of each one's fastest step are given. Seconds are those of CPU
time, so that with one thread a shared machine's other work is not counted (caches and memory are shared all the same).
All steps are forward, nnU-Net's loss over its heads, backward, clipping and SGD, without augmentation. nnU-Net's own
best setting is the fastest of its layouts and precisions here. ONEDNN_MAX_CPU_ISA=AVX2 with ATEN_CPU_CAPABILITY=avx2
shows a CPU without AVX-512. "GFLOP" are multiplications and additions as `torch.utils.flop_counter` has them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

Measured = dict[str, float]


def peer_network(plan: dict[str, Any]) -> nn.Module:
    """nnU-Net's PlainConvUNet or ResidualEncoderUNet with all heads."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

    n, residual = len(plan["features"]), plan["network"] == "residual_unet"
    encoder, decoder = ([1, 3, 4, 6, 6, 6][:n], 1) if residual else ([2] * n, 2)
    kind = ResidualEncoderUNet if residual else PlainConvUNet
    network: nn.Module = kind(
        4, n, plan["features"], nn.Conv3d, plan["kernels"], plan["strides"], encoder, 3, [decoder] * (n - 1), True,
        nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True},
        deep_supervision=True,
    )  # fmt: skip
    return network


def peer_loss(heads: list[Tensor], label: Tensor) -> Tensor:
    """nnU-Net's loss of overlapping regions, in its own modules."""
    from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    settings = {"batch_dice": False, "do_bg": True, "smooth": 1e-5, "ddp": False}
    loss = DC_and_BCE_loss({}, settings, use_ignore_label=False, dice_class=MemoryEfficientSoftDiceLoss)
    sizes = [head.shape[2:] for head in heads]
    labels = [F.interpolate(label, size, mode="nearest-exact") for size in sizes]
    weights = [0.5**i for i in range(len(heads) - 1)]
    total: Tensor = sum(
        weight / sum(weights) * loss(head, target) for weight, head, target in zip(weights, heads, labels, strict=False)
    )
    return total


def peer_step(options: dict[str, Any], image: Tensor, label: Tensor) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
    """Parameters, and loss of nnU-Net."""
    network = peer_network(options).to(memory_format=layout(options))  # type: ignore[call-overload]
    return list(network.parameters()), lambda: peer_loss(network(image), label)


def own_step(options: dict[str, Any], image: Tensor, label: Tensor) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
    """Parameters, and loss of the U-Net; of the labelled half and of the domains with the classifier."""
    from pedseg.losses import DeepSupervisionLoss, DiceBCELoss
    from pedseg.networks import DomainClassifier, build

    settings = {"name": options["network"], "base_features": options["features"][0], "deep_supervision": True}
    network = build(settings, patch_size=options["patch"], spacing_mm=(1.0, 1.0, 1.0))
    network.to(memory_format=layout(options))  # type: ignore[call-overload]
    loss = DeepSupervisionLoss(DiceBCELoss())
    if not options["classifier"]:
        return list(network.parameters()), lambda: loss(network.forward_features(image).logits, label)
    stage = len(network.decoder) - 2  # the last but one, as the paper
    channels, size = network.decoder_shapes[stage]
    classifier = DomainClassifier(in_channels=channels, input_size=size)
    classifier.to(memory_format=layout(options))  # type: ignore[call-overload]
    labelled = len(image) // 2
    domains = torch.tensor([0] * labelled + [1] * (len(image) - labelled))

    def both() -> Tensor:
        output = network.forward_features(image)
        segmentation: Tensor = loss([head[:labelled] for head in output.logits], label[:labelled])
        return segmentation + F.cross_entropy(classifier(output.decoder[stage]), domains)

    return [*network.parameters(), *classifier.parameters()], both


def layout(options: dict[str, Any]) -> torch.memory_format:
    """The memory format that is measured."""
    return torch.channels_last_3d if options["channels_last"] else torch.contiguous_format


def kept_memory(options: dict[str, Any]) -> AbstractContextManager[None]:
    """What our training does with the memory of a step; nnU-Net does nothing."""
    if not options["own"]:
        return nullcontext()
    from pedseg.memory import reused_memory

    return reused_memory()


def measure(options: dict[str, Any]) -> Measured:
    """Seconds of the fastest step, peak memory in GiB, and GFLOP of a step."""
    torch.manual_seed(0)
    shape = (options["batch"], -1, *options["patch"])
    image = torch.randn(shape[0], 4, *shape[2:]).contiguous(memory_format=layout(options))
    label = (torch.rand(shape[0], 3, *shape[2:]) > 0.9).float().contiguous(memory_format=layout(options))
    parameters, loss = (own_step if options["own"] else peer_step)(options, image, label)
    optimizer = torch.optim.SGD(parameters, 1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=options["bf16"]):
            value = loss()
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(parameters, 12)
        optimizer.step()

    counter = FlopCounterMode(display=False)
    times = []
    with kept_memory(options):
        with counter:
            step()  # warms up
        for _ in range(options["steps"]):
            start = time.process_time()
            step()
            times.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return {"seconds": min(times), "memory": peak, "flops": counter.get_total_flops() / 1e9}


def measured_apart(python: str, options: dict[str, Any]) -> Measured:
    """`measure` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(options["threads"])}
    command = [python, __file__, "--measure", json.dumps(options)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    measured: Measured = json.loads(output.splitlines()[-1])
    return measured


def compare(title: str, settings: dict[str, tuple[str, dict[str, Any]]], *, rounds: int) -> None:
    """Measure all settings in turn and print a table; those of nnU-Net come first, plain float32 as the very first."""
    found: dict[str, list[Measured]] = {name: [] for name in settings}
    for _ in range(rounds):
        for name, (python, options) in settings.items():
            found[name].append(measured_apart(python, options))
    seconds = {name: median(one["seconds"] for one in found[name]) for name in found}
    first = next(iter(seconds))
    best = min((name for name in seconds if name.startswith("nnU-Net")), key=seconds.__getitem__)
    print(f"\n{title}; nnU-Net's best here: {best}")
    print("  seconds  to float32  to best  GFLOP ratio  peak GiB")
    for name, value in seconds.items():
        flops = found[name][0]["flops"] / found[first][0]["flops"]
        memory = max(one["memory"] for one in found[name])
        print(
            f"{value:9.3f}  {value / seconds[first]:10.2f}  {value / seconds[best]:7.2f}  {flops:11.3f}  {memory:8.2f}",
            name,
            flush=True,
        )


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--base-features", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--part", choices=["network", "uda"], nargs="*", default=["network", "uda"])
    parser.add_argument("--network", choices=["unet", "residual_unet"], default="unet")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(json.loads(arguments.measure))))
        return 0
    from pedseg.hardware import describe_machine, fast_precision
    from pedseg.networks.topology import plan_topology
    from tests.conftest import find_peers_python

    print(f"{describe_machine()}; {arguments.threads} threads, CPU time")
    python, own = find_peers_python(), sys.executable
    if python is None:
        print("no peers' environment to compare with (make peers, or set PEDSEG_PEERS_PYTHON)")
        return 0
    peer = str(python)
    native = fast_precision(torch.device("cpu")).precision == "bf16"
    for base in arguments.base_features:
        plan = plan_topology(patch_size=(arguments.patch,) * 3, base_features=base)
        common = {**plan.as_lists(), "patch": [arguments.patch] * 3, "classifier": False}
        common |= {"batch": arguments.batch, "steps": arguments.steps, "threads": arguments.threads}
        common["network"] = arguments.network
        title = f"{arguments.network}, {arguments.patch}³, batch {arguments.batch}, base_features {base}"
        kinds = [
            (f"{precision}{', channels-last' if last else ''}", {"bf16": precision == "bf16", "channels_last": last})
            for precision in (("float32", "bf16") if native else ("float32",))
            for last in (False, True)
        ]
        peers = {f"nnU-Net {name}": (peer, {**common, **kind, "own": False}) for name, kind in kinds}
        for part in arguments.part:
            extra = {"own": True, "classifier": part == "uda"}
            ours = {
                f"pedseg {name}": (own, {**common, **kind, **extra}) for name, kind in kinds if kind["channels_last"]
            }
            compare(f"{part}, {title}", peers | ours, rounds=arguments.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
