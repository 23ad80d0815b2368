"""Label maps for a folder of cases: ``pedseg predict --run runs/uda/fold_0 --input DIR --output DIR``."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pedseg.commands.options import (
    add_device,
    add_output,
    add_overwrite,
    command,
    device_of,
    run,
    tell,
)
from pedseg.errors import PedsegError
from pedseg.runs import checkpoints_of


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command("predict", "Segment a folder of cases.")
    networks = p.add_argument_group("networks (several make an ensemble)")
    networks.add_argument("--checkpoint", nargs="+", type=Path, default=[], metavar="FILE", help="checkpoints")
    networks.add_argument(
        "--run", nargs="+", type=Path, default=[], metavar="DIR", help="run folders, or folders of runs (fold_*)"
    )
    p.add_argument("--input", type=Path, required=True, help="cases in a BraTS, Decathlon or nnU-Net layout")
    add_output(p, "DIR", "folder for <case id>.nii.gz")
    p.add_argument("--convention", default="brats2023", help="voxel labels to write (default: %(default)s)")
    p.add_argument("--step", type=float, default=0.5, help="distance of windows in patches (default: %(default)s)")
    p.add_argument("--no-mirror", action="store_true", help="do not average over mirrored windows (8 times faster)")
    p.add_argument(
        "--allow-missing",
        action="store_true",
        help="predict cases that lack sequences, by zeros in their place: for networks trained with data.drop_modality",
    )
    add_device(p)
    p.add_argument("--precision", default="auto", choices=("auto", "32", "bf16", "16"), help="auto: what is fast here")
    p.add_argument(
        "--window-batch", type=int, default=1, help="windows, mirrorings counted, per forward pass (%(default)s)"
    )
    p.add_argument(
        "--adapt-steps", type=int, default=0, metavar="N", help="steps of test-time adaptation on each case (0: none)"
    )
    p.add_argument("--adapt-rate", type=float, default=1e-3, help="their learning rate (default: %(default)s)")
    add_overwrite(p, "predict cases again that have a label map")
    return p


def predict(arguments: argparse.Namespace) -> int:
    """Predict every case of the input folder; 1 if some could not be."""
    checkpoints = [*arguments.checkpoint, *(path for run in arguments.run for path in checkpoints_of(run))]
    if not checkpoints:
        raise PedsegError("give --checkpoint FILE or --run DIR")

    from pedseg.cases import find_cases
    from pedseg.inference import Settings
    from pedseg.labels import get_convention

    convention = get_convention(arguments.convention)
    settings = Settings(
        step=arguments.step,
        mirror=not arguments.no_mirror,
        precision="32" if arguments.precision == "auto" else arguments.precision,
        window_batch=arguments.window_batch,
        adapt_steps=arguments.adapt_steps,
        adapt_rate=arguments.adapt_rate,
    )
    found = find_cases(arguments.input, cohort="input", labelled=False, allow_missing=arguments.allow_missing)
    found.check_sequences(arguments.input, cohort="input")

    from pedseg.hardware import fast_precision
    from pedseg.inference import Predictor, predict_cases

    device = device_of(arguments)
    if arguments.precision == "auto":
        settings = replace(settings, precision=fast_precision(device).precision)
    predictor = Predictor(checkpoints, device=device, settings=settings)
    problems = [
        *found.problems,
        *predict_cases(predictor, found.cases, arguments.output, convention=convention, overwrite=arguments.overwrite),
    ]
    failed = {problem.case for problem in problems}
    print(f"{len([case for case in found.cases if case.id not in failed])} label maps in {arguments.output}")
    if kept := predictor.adaptations_kept:
        print(f"test-time adaptation kept for {sum(kept)} of {len(kept)} cases; the others are as without it")
    return tell(problems, f"{len(failed)} cases have no label map:")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases failed, 2 if nothing could be done."""
    return run(parser(), predict, argv)
