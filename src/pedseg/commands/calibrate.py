"""Calibrate a network on images without labels: ``pedseg calibrate --run RUN --input DIR --output FILE``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.options import (
    add_device,
    add_output,
    add_overwrite,
    check_file,
    command,
    device_of,
    run,
    tell,
)
from pedseg.errors import PedsegError, Problem
from pedseg.runs import checkpoints_of
from pedseg.settings.conf import values_of

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.cases import Case
    from pedseg.inference import Predictor
    from pedseg.inference.calibration import PartThresholds

PUBLISHED = "calibration/published"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "calibrate",
        "Find thresholds at which a network's tumour core is as large a part of the whole tumour as is "
        "published of children, in the mean over a folder of images without labels, and write a checkpoint that has "
        "them. `pedseg predict --checkpoint FILE` uses it, with the same --no-mirror and --adapt-steps. In "
        "training calibration=published does the same.",
    )
    network = p.add_mutually_exclusive_group(required=True)
    network.add_argument("--checkpoint", type=Path, metavar="FILE", help="the network")
    network.add_argument("--run", type=Path, metavar="DIR", help="its run folder")
    p.add_argument("--input", type=Path, required=True, help="20 cases or more in a BraTS, Decathlon or nnU-Net layout")
    add_output(p, "FILE", "checkpoint to write")
    p.add_argument(
        "--ratio",
        action="append",
        default=[],
        metavar="REGION=PART",
        help="mean part of WT that tc or et has (default: that of 99 children of BraTS-PEDs 2023)",
    )
    p.add_argument("--no-mirror", action="store_true", help="do not average over mirrored windows (8 times faster)")
    add_device(p)
    p.add_argument("--adapt-steps", type=int, default=0, metavar="N", help="steps of test-time adaptation on each case")
    add_overwrite(p, "replace the output")
    return p


def calibrate(arguments: argparse.Namespace) -> int:
    """Calibrate on every case of the input folder; 1 if some could not be read."""
    check_file(arguments.output, overwrite=arguments.overwrite)
    checkpoint = arguments.checkpoint or _only(checkpoints_of(arguments.run))
    ratios = _ratios(arguments.ratio)

    from pedseg.cases import find_cases

    found = find_cases(arguments.input, cohort="input", labelled=False)

    from pedseg.hardware import fast_precision
    from pedseg.inference import Predictor, Settings
    from pedseg.inference.calibration import PartThresholds, write_thresholds

    parts = PartThresholds(ratios)
    device = device_of(arguments)
    mirror, steps = not arguments.no_mirror, arguments.adapt_steps
    settings = Settings(mirror=mirror, precision=fast_precision(device).precision, adapt_steps=steps)
    predictor = Predictor([checkpoint], device=device, settings=settings)
    predictor.thresholds = None  # those of an earlier calibration
    problems = [*found.problems, *_count(predictor, parts, found.cases)]
    write_thresholds(checkpoint, parts.thresholds(), output=arguments.output)
    for line in parts.summary():
        print(line)
    print(f"{arguments.output}: calibrated on {int(parts.cases.item())} cases in which a tumour was found")
    return tell(problems, f"{len(problems)} cases are left out:")


def _count(predictor: "Predictor", parts: "PartThresholds", cases: "Sequence[Case]") -> list[Problem]:
    """Count every case that can be predicted; say what went wrong with the others."""
    import torch
    from rich.progress import track

    from pedseg.inference.cases import CASE_ERRORS, problem_of

    problems = []
    for case in track(cases, description="calibrating"):
        try:
            prepared = predictor.prepare(case)
            image, brain = torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)
            with predictor.following(image, brain) as logits:
                parts.count(logits)
        except CASE_ERRORS as error:
            problems.append(problem_of(case, error))
    return problems


def _only(checkpoints: Sequence[Path]) -> Path:
    if len(checkpoints) > 1:
        raise PedsegError(
            f"there are {len(checkpoints)} networks ({checkpoints[0]} …); calibrate each by itself: --run RUN/fold_0"
        )
    return checkpoints[0]


def _ratios(given: Sequence[str]) -> dict[str, float]:
    """Ratios by region, of the command line or the published ones."""
    if not given:
        return dict(values_of(PUBLISHED)["ratios"])
    try:
        return {region: float(part) for region, part in (text.split("=") for text in given)}
    except ValueError as error:
        raise PedsegError(f"--ratio {' '.join(given)}: give REGION=PART, such as tc=0.9") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases could not be read, 2 if nothing was calibrated."""
    return run(parser(), calibrate, argv)
