"""Time the scores of cases of 240 × 240 × 155 voxels and three regions against the packages of two challenges.

Run: ``python -m tests.benchmarks.bench_metrics``. One case is a tumour of median size with rough borders, the other
hundreds of small lesions. surface-distance computes Dice and HD95 of the same masks. After ``make peers``
brats-evaluation scores the same label maps in a process of that interpreter, which takes the time of each call itself;
it starts from label maps in memory, so ours does there too, and the three regions are all it is asked for. Both sides
take turns and medians are compared; the ratio is ours over the peer's. Lesion-wise scores by brats2023 have no peer on
PyPI: the line with all scores sets them beside Dice and HD95 of surface-distance.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pedseg.files import write_json
from pedseg.labels import get_convention, labels_from_regions, regions_from_labels
from pedseg.metrics import count_voxels, dice, hausdorff_mm, score_case, surface_distances
from tests.conftest import find_peers_python

SHAPE = (155, 240, 240)
SPACING_MM = (1.0, 1.0, 1.0)
RADII_MM = {"wt": 32.0, "tc": 22.0, "et": 13.0}
CONVENTION = get_convention("brats_ped2024")  # that of brats-evaluation's settings for BraTS-PEDs
PEER_PROGRAM = """
import contextlib, io, sys, time
import numpy as np
from brats_evaluation import config_path
from panoptica import Panoptica_Evaluator
evaluator = Panoptica_Evaluator.load_from_config(str(config_path("ped")))
prediction, label = np.load(sys.argv[1] + "/prediction.npy"), np.load(sys.argv[1] + "/label.npy")
for _ in sys.stdin:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate(prediction, label, voxelspacing=(1.0, 1.0, 1.0), skip_groups=["netc", "cc", "ed"])
    print("TIME", time.perf_counter() - start, flush=True)
"""

Masks = NDArray[np.bool_]
Figures = list[tuple[float, float]]
Line = dict[str, str | float]


def tumour(seed: int) -> Masks:
    """Nested region masks (3, Z, Y, X) with rough borders, about the size of a median adult tumour."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 3)
    axes = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij", sparse=True)
    centre = (80, 110 + seed, 90)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
    return np.stack([distance + 60 * noise < radius for radius in RADII_MM.values()])


def scattered(seed: int) -> Masks:
    """Nested region masks (3, Z, Y, X) of hundreds of small lesions, most of which all seeds share."""
    shape = (120, 160, 160)
    common, own = (gaussian_filter(np.random.default_rng(s).standard_normal(shape), 2) for s in (99, seed))
    masks = np.zeros((len(RADII_MM), *SHAPE), dtype=bool)
    for mask, threshold in zip(masks, (0.135, 0.145, 0.155), strict=True):
        mask[20:140, 40:200, 40:200] = common + 0.3 * own > threshold
    return masks


def ours(prediction: Masks, label: Masks) -> Figures:
    """Dice and HD95 of each region by pedseg."""
    return [
        (dice(count_voxels(p, g)), hausdorff_mm(surface_distances(p, g, spacing_mm=SPACING_MM)))
        for p, g in zip(prediction, label, strict=True)
    ]


def theirs(prediction: Masks, label: Masks) -> Figures:
    """Dice and HD95 of each region by surface-distance."""
    import surface_distance as reference

    figures = []
    for p, g in zip(prediction, label, strict=True):
        distances = reference.compute_surface_distances(g, p, SPACING_MM)
        dice = reference.compute_dice_coefficient(g, p)
        figures.append((float(dice), float(reference.compute_robust_hausdorff(distances, 95))))
    return figures


def from_label_maps(prediction: NDArray[np.uint8], label: NDArray[np.uint8]) -> None:
    """All scores of each region by the definition of brats-evaluation."""
    masks = (regions_from_labels(side, CONVENTION) for side in (prediction, label))
    score_case(*masks, spacing_mm=SPACING_MM, definition="brats2025")


class BratsEvaluation:
    """A process of the peer that scores one case as often as it is asked to."""

    def __init__(self, python: Path, prediction: NDArray[np.uint8], label: NDArray[np.uint8], folder: Path) -> None:
        for name, data in (("prediction", prediction), ("label", label)):
            np.save(folder / f"{name}.npy", data)
        self.process = subprocess.Popen(
            [python, "-W", "ignore", "-c", PEER_PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        """Time of one call, taken in that process."""
        stdin, stdout = _pipe(self.process.stdin), _pipe(self.process.stdout)
        stdin.write("go\n")
        stdin.flush()
        for line in stdout:
            if line.startswith("TIME"):
                return float(line.split()[1])
        raise RuntimeError(f"brats-evaluation ended with exit code {self.process.wait()}")

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process has no pipe")
    return stream


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(
    what: str, peer: str, our_seconds: Callable[[], float], peer_seconds: Callable[[], float], *, repeats: int
) -> Line:
    """Let both sides take turns, after one round to warm up; print and return the medians and their ratio."""
    times = [(our_seconds(), peer_seconds()) for _ in range(repeats + 1)][1:]
    ours_s, peer_s = (statistics.median(side) for side in zip(*times, strict=True))
    print(f"{what}: pedseg {1e3 * ours_s:.0f} ms, {peer} {1e3 * peer_s:.0f} ms, ratio {ours_s / peer_s:.2f}")
    return {"what": what, "ours_s": ours_s, "peer": peer, "peer_s": peer_s, "ratio": ours_s / peer_s}


def compare_case(name: str, prediction: Masks, label: Masks, *, repeats: int, python: Path | None) -> list[Line]:
    """All lines of one case."""
    difference = np.abs(np.subtract(ours(prediction, label), theirs(prediction, label))).max()
    voxels = " ".join(f"{region} {int(mask.sum())}" for region, mask in zip(RADII_MM, label, strict=True))
    print(f"{name}, label voxels {voxels}; largest difference of Dice and HD95 to surface-distance {difference:.1e}")
    both = partial(seconds, partial(ours, prediction, label))
    everything = partial(seconds, partial(score_case, prediction, label, spacing_mm=SPACING_MM))
    reference = partial(seconds, partial(theirs, prediction, label))
    lines = [
        compare(f"{what}; {name}", "surface-distance", job, reference, repeats=repeats)
        for what, job in (
            ("Dice and HD95 of WT, TC, ET", both),
            ("All scores by brats2023, by lesion too (the peer: Dice and HD95 only)", everything),
        )
    ]
    if python:
        maps = [labels_from_regions(regions, CONVENTION) for regions in (prediction, label)]
        with tempfile.TemporaryDirectory() as folder:
            process = BratsEvaluation(python, maps[0], maps[1], Path(folder))
            what = f"All scores by brats2025, by lesion too, from label maps; {name}"
            job = partial(seconds, partial(from_label_maps, *maps))
            lines.append(compare(what, "brats-evaluation", job, process.seconds, repeats=repeats))
            process.close()
    return lines


def main() -> None:
    """Print both times and their ratio for each comparison; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured, in seconds")
    arguments = parser.parse_args()
    python = find_peers_python()
    lines: list[Line] = []
    for name, make in (("a tumour of median size", tumour), ("hundreds of lesions", scattered)):
        lines += compare_case(name, make(0), make(4), repeats=arguments.repeats, python=python)
    if arguments.json:
        write_json(arguments.json, lines)


if __name__ == "__main__":
    main()
