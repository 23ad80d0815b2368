"""Label maps for a folder of cases: ``python -m pedseg.predict --run runs/uda/fold_0 --input DIR --output DIR``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pedseg.configuration import exit_code
from pedseg.errors import PedsegError, Problem
from pedseg.runs import RunFolder

SOME_FAILED = 1


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(prog="python -m pedseg.predict", description="Segment a folder of cases.")
    networks = p.add_argument_group("networks (several make an ensemble)")
    networks.add_argument("--checkpoint", nargs="+", type=Path, default=[], metavar="FILE", help="checkpoints")
    networks.add_argument(
        "--run", nargs="+", type=Path, default=[], metavar="DIR", help="run folders, such as its folds"
    )
    p.add_argument("--input", type=Path, required=True, help="cases in a BraTS, Decathlon or nnU-Net layout")
    p.add_argument("--output", type=Path, required=True, help="folder for <case id>.nii.gz")
    p.add_argument("--convention", default="brats2023", help="voxel labels to write (default: %(default)s)")
    p.add_argument("--step", type=float, default=0.5, help="distance of windows in patches (default: %(default)s)")
    p.add_argument("--no-mirror", action="store_true", help="do not average over mirrored windows (8 times faster)")
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: %(default)s")
    p.add_argument("--precision", default="32", choices=("32", "bf16"), help="default: %(default)s")
    p.add_argument("--window-batch", type=int, default=1, help="windows per forward pass (default: %(default)s)")
    p.add_argument("--overwrite", action="store_true", help="replace label maps made by other checkpoints or settings")
    return p


def predict(arguments: argparse.Namespace) -> int:
    """Predict every case of the input folder; 1 if some could not be."""
    checkpoints = [*arguments.checkpoint, *(RunFolder(run).checkpoint for run in arguments.run)]
    if not checkpoints:
        raise PedsegError("give --checkpoint FILE or --run DIR")

    import torch

    from pedseg.cases import find_cases
    from pedseg.inference import Predictor, Settings, predict_cases
    from pedseg.labels import get_convention

    convention = get_convention(arguments.convention)
    found = find_cases(arguments.input, cohort="input", labelled=False)
    wanted = arguments.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise PedsegError("--device cuda: this machine has no CUDA device; use --device cpu")
    name = "cuda" if wanted == "auto" and torch.cuda.is_available() else wanted.replace("auto", "cpu")
    settings = Settings(
        step=arguments.step,
        mirror=not arguments.no_mirror,
        precision=arguments.precision,
        window_batch=arguments.window_batch,
    )
    predictor = Predictor(checkpoints, device=torch.device(name), settings=settings)
    problems = [
        *found.problems,
        *predict_cases(predictor, found.cases, arguments.output, convention=convention, overwrite=arguments.overwrite),
    ]
    report(problems)
    failed = {problem.case for problem in problems}
    print(f"{len([c for c in found.cases if c.id not in failed])} label maps in {arguments.output}")
    return SOME_FAILED if problems else 0


def report(problems: Sequence[Problem]) -> None:
    """Write what went wrong to stderr, a line each."""
    for problem in problems:
        sys.stderr.write(f"pedseg: {problem.case}: {problem.what} → {problem.fix}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases failed, 2 if nothing could be done."""
    arguments = parser().parse_args(argv)
    return exit_code(lambda: predict(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
