"""Time the sliding window against MONAI's: its own overhead, and a whole brain with a network.

Run: ``python tests/benchmarks/bench_inference.py --base-features 8``. The overhead is measured with a "network" that
only copies three channels, so that what is left is cutting, weighting and adding; the volume is a cropped BraTS brain.
Candidates take turns, and the fastest call of each counts, because a shared machine only ever adds time.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor, nn

from pedseg.hardware import Precision
from pedseg.inference.sliding_window import sliding_window_logits
from pedseg.networks import UNet

BRAIN = (140, 180, 142)
Run = Callable[[], Tensor]


class FirstChannels(nn.Module):
    """Costs next to nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of three of the four channels (MONAI weights what it is given in place)."""
        return x[:, :3].clone()


def monai(network: nn.Module, image: Tensor, *, patch: int) -> Run:
    """MONAI's sliding window with its Gaussian weights, one window a time."""
    inferer = SlidingWindowInferer((patch,) * 3, sw_batch_size=1, overlap=0.5, mode="gaussian")

    def run() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = inferer(image[None], network)[0]
        return logits

    return run


def ours(
    network: nn.Module, image: Tensor, *, patch: int, precision: Precision = "32", channels_last: bool = False
) -> Run:
    """This package's sliding window without mirroring, as MONAI's."""
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)  # type: ignore[call-overload]

    def run() -> Tensor:
        return sliding_window_logits(
            network,
            image,
            patch_size=(patch,) * 3,
            mirror=False,
            precision=precision,
            channels_last=channels_last,
        )

    return run


def compare(candidates: dict[str, Run], *, rounds: int) -> None:
    """Print the fastest call of each candidate, its ratio to the first, and how its masks differ from the second's.

    MONAI's weights differ from nnU-Net's, so that its masks of an untrained network do too.
    """
    best: dict[str, float] = {}
    masks: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            logits = run()
            seconds = time.perf_counter() - start
            best[name] = min(best.get(name, seconds), seconds)
            masks[name] = logits > 0
    first, reference = next(iter(best.values())), list(masks.values())[1]
    for name, seconds in best.items():
        share = float((masks[name] != reference).float().mean())
        sys.stdout.write(f"{seconds:8.3f} s  {seconds / first:5.2f}  {name} (voxels that differ: {share:.1e})\n")


def main() -> int:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image = torch.randn(4, *BRAIN, generator=torch.Generator().manual_seed(0))
    for patch in (64, 128):
        sys.stdout.write(f"own overhead, windows of {patch} voxels\n")
        free = FirstChannels()
        compare(
            {"MONAI": monai(free, image, patch=patch), "pedseg": ours(free, image, patch=patch)},
            rounds=3 * arguments.rounds,
        )
    patch = arguments.patch
    sys.stdout.write(f"a brain, U-Net of {arguments.base_features} features, windows of {patch} voxels, no mirroring\n")
    networks = [_network(patch, arguments.base_features) for _ in range(5)]
    candidates = {"MONAI float32": monai(networks[0], image, patch=patch)}
    settings: list[tuple[Precision, bool]] = [("32", False), ("32", True), ("bf16", False), ("bf16", True)]
    for network, (precision, channels_last) in zip(networks[1:], settings, strict=True):
        name = f"pedseg {precision}{', channels-last' if channels_last else ''}"
        candidates[name] = ours(network, image, patch=patch, precision=precision, channels_last=channels_last)
    compare(candidates, rounds=arguments.rounds)
    return 0


def _network(patch: int, base_features: int) -> UNet:
    torch.manual_seed(0)
    return UNet(patch_size=(patch,) * 3, base_features=base_features).eval()


if __name__ == "__main__":
    raise SystemExit(main())
