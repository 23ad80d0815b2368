"""Label maps for a folder of cases, or of a run's own held-out cases in another way than before.

``pedseg predict --run runs/uda/fold_0 --input DIR --output DIR``, ``pedseg predict --run runs/uda --variant tent``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.arguments import natural, number, positive
from pedseg.commands.options import (
    add_background,
    add_device,
    add_output,
    add_overwrite,
    add_variant,
    command,
    device_of,
    run,
    tell,
)
from pedseg.errors import PedsegError
from pedseg.locks import writing, writing_all
from pedseg.pages import PAGE, PAGE_FILES, RESEARCH
from pedseg.pages import VOLUMES as PAGE_VOLUMES
from pedseg.runs import PLAIN, RunFolder, checkpoints_of, how_it_predicts
from pedseg.sinks import csv_text

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    import torch

    from pedseg.cases import Case
    from pedseg.inference import Predictor, Settings
    from pedseg.labels import LabelConvention
    from pedseg.settings.variants import Variant


VOLUMES = "volumes.csv"
POPULATION = "brats_peds2023"  # where nothing names another


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "predict",
        "Segment a folder of cases; or, without --input, give finished runs a variant of --variant's name: their own "
        "held-out cases are predicted and scored in that way, as training with variant=[...] does. "
        f"Images are expected as BraTS prepares them: four sequences on one grid, near 1 mm, brain alone. {RESEARCH}",
    )
    networks = p.add_argument_group("networks (several make an ensemble)")
    networks.add_argument("--checkpoint", nargs="+", type=Path, default=[], metavar="FILE", help="checkpoints")
    networks.add_argument(
        "--run", nargs="+", type=Path, default=[], metavar="DIR", help="run folders, or folders of runs (fold_*)"
    )
    p.add_argument(
        "--input",
        type=Path,
        metavar="DIR",
        help="folder of cases in any layout (docs/layouts.md), or a table of them (.csv, .tsv, .json)",
    )
    add_output(p, "DIR", "folder for <case id>.nii.gz", required=False)
    add_variant(p, "how the networks are used: a variant of the runs, or one of conf/variant")
    p.add_argument(
        "--target", nargs="+", default=(), metavar="COHORT",
        help="without --input: whose images thresholds are found on (default: those that a run adapts to)",
    )  # fmt: skip
    p.add_argument("--convention", default="brats2023", help="voxel labels to write (default: %(default)s)")
    p.add_argument("--step", type=number, default=0.5, help="distance of windows in patches (default: %(default)s)")
    p.add_argument("--no-mirror", action="store_true", help="do not average over mirrored windows (8 times faster)")
    p.add_argument(
        "--save-probabilities",
        action="store_true",
        help="also DIR/probabilities/<case id>.nii.gz: volumes WT, TC, ET in 16 bits; above one half where the label "
        "map has the region",
    )
    add_background(p)
    p.add_argument(
        "--allow-missing",
        action="store_true",
        help="predict cases that lack sequences, by zeros in their place: for networks trained with data.drop_modality",
    )
    add_device(p)
    p.add_argument("--precision", default="auto", choices=("auto", "32", "bf16", "16"), help="auto: what is fast here")
    p.add_argument(
        "--window-batch", type=positive, default=1, help="windows, mirrorings counted, per forward pass (%(default)s)"
    )
    p.add_argument("--page", action="store_true", help="also index.html: volumes, previews and cases to look through")
    p.add_argument(
        "--view", type=natural, default=12, metavar="N", help="cases of the page to look through (default: %(default)s)"
    )
    add_overwrite(p, "predict cases again that have a label map")
    return p


def predict(arguments: argparse.Namespace) -> int:
    """Predict every case of the input folder, 1 if some could not be; or give runs a variant."""
    if not (arguments.checkpoint or arguments.run):
        raise PedsegError("give --checkpoint FILE or --run DIR")
    if bool(arguments.input) != bool(arguments.output):
        raise PedsegError("--input DIR and --output DIR belong together; give both, or neither for a run's own cases")
    if not arguments.input:
        return predict_own(arguments)
    with writing(arguments.output, within=("probabilities", "figures", PAGE_VOLUMES)):
        return predict_folder(arguments)


def predict_folder(arguments: argparse.Namespace) -> int:
    """Predict every case of the input folder; 1 if some could not be."""
    from pedseg.labels import read_convention

    convention = read_convention(arguments.convention)
    checkpoints = [*arguments.checkpoint, *(path for run in arguments.run for path in checkpoints_of(run))]
    runs = [] if arguments.checkpoint else [RunFolder(path.parents[1]) for path in checkpoints]
    how = _how(arguments.variant, runs)

    from pedseg.cases import find_cases

    check_settings(arguments, how)
    found = find_cases(arguments.input, cohort="input", labelled=False, allow_missing=arguments.allow_missing)
    found.check_sequences(arguments.input, cohort="input")
    found.say()

    from pedseg.ownership import refuse_foreign

    refuse_foreign(arguments.output, [VOLUMES, *(PAGE_FILES if arguments.page else ())])

    from pedseg.inference import predict_cases  # loads torch: after everything that can be wrong with the arguments

    predictor = _predictor(arguments, checkpoints, runs, how)
    how_written = {"overwrite": arguments.overwrite, "probabilities": arguments.save_probabilities}
    problems = [
        *found.problems,
        *predict_cases(predictor, found.cases, arguments.output, convention=convention, **how_written),
    ]
    failed = {problem.case for problem in problems}
    summarise(arguments, [case for case in found.cases if case.id not in failed], convention, checkpoints)
    print(f"{len([case for case in found.cases if case.id not in failed])} label maps in {arguments.output}")
    if kept := predictor.adaptations_kept:
        print(f"test-time adaptation kept for {sum(kept)} of {len(kept)} cases; the others are as without it")
    print(RESEARCH)
    return tell(problems, f"{len(failed)} cases have no label map:")


def summarise(
    arguments: argparse.Namespace, cases: "Sequence[Case]", convention: "LabelConvention", checkpoints: Sequence[Path]
) -> None:
    """Write volumes.csv and, if it is asked for, the page."""
    from pedseg.evaluation.volumes import measure_volumes
    from pedseg.files import safe_name, write_text
    from pedseg.ownership import note
    from pedseg.phantom.cohort import NOTE
    from pedseg.reporting.predictions import Predicted

    output: Path = arguments.output
    label_maps = {case.id: output / f"{safe_name(case.id)}.nii.gz" for case in cases}
    note(output, [VOLUMES, *(PAGE_FILES if arguments.page else ())])
    volumes = measure_volumes(label_maps, convention)
    write_text(output / VOLUMES, csv_text(volumes))
    if arguments.page and cases:
        how = (f"Networks: {', '.join(map(str, checkpoints))}.", f"Variant: {arguments.variant}.")
        predicted = Predicted(cases, label_maps, convention, volumes, how, (arguments.input / NOTE).exists())
        note(output, [path.relative_to(output).as_posix() for path in predicted.write(output, most=arguments.view)])
        print(f"page: {output / PAGE}")


def predict_own(arguments: argparse.Namespace) -> int:
    """Give each run the variant: its own held-out cases are predicted in that way and scored.

    Raises:
        PedsegError: a checkpoint is given, a run is not finished or was imported, or the variant is unknown.
    """
    if arguments.save_probabilities:
        raise PedsegError("--save-probabilities is for a folder of cases; give --input DIR and --output DIR")
    if arguments.checkpoint:
        raise PedsegError("--checkpoint names no cases of its own; give --input DIR and --output DIR, or --run DIR")
    folders = [RunFolder(path.parents[1]) for given in arguments.run for path in checkpoints_of(given)]

    from pedseg.assembly import Processes, add_variant, retold

    device = device_of(arguments)
    with writing_all((folder.path for folder in folders), within=folders[0].written):
        for folder in folders:
            with retold(folder):
                place = add_variant(folder, arguments.variant, Processes(device), target=arguments.target)
            print(f"{place.path}{'' if place.scores.exists() else ': no scores, as no case has a label'}")
    return 0


def _how(name: str, runs: Sequence[RunFolder]) -> "Variant":
    """Settings of the variant: as the first run has it, else as conf/variant does.

    Raises:
        PedsegError: it is no prediction, is unknown, or is calibrated and a run does not have it.
    """
    from pedseg.settings.population import load_population
    from pedseg.settings.variants import conf_variant

    places = [run.variant(name) for run in runs]
    if any(place.how() is not None for place in places):
        first, *_ = [how_it_predicts(place) for place in places]  # every run needs it
        return first
    how = conf_variant(name, load_population(POPULATION))
    if how.calibrated or how.rules:
        what = "its thresholds are found on images" if how.calibrated else "it clears up label maps"
        raise PedsegError(f"--variant {name}: {what}; give --run DIR of a run that has it, or make it there first")
    return how


def check_settings(arguments: argparse.Namespace, how: "Variant", device: "torch.device | None" = None) -> "Settings":
    """How windows are laid; checked before the device is looked at."""
    from pedseg.hardware import fast_precision
    from pedseg.inference import Settings

    precision = arguments.precision
    if precision == "auto":
        precision = fast_precision(device).precision if device else "32"
    return Settings(
        step=arguments.step if how.step is None else how.step,
        mirror=not arguments.no_mirror if how.mirror is None else how.mirror,
        precision=precision,
        window_batch=arguments.window_batch,
        adapt_steps=how.adapt_steps,
        adapt_rate=how.adapt_rate,
        background=arguments.background,
    )


def _predictor(
    arguments: argparse.Namespace, checkpoints: Sequence[Path], runs: Sequence[RunFolder], how: "Variant"
) -> "Predictor":
    """The networks, with the thresholds of the variant."""
    from pedseg.inference import Predictor
    from pedseg.inference.variants import variant_predictor

    device = device_of(arguments)
    settings = check_settings(arguments, how, device)
    if runs and arguments.variant != PLAIN:
        return variant_predictor([run.variant(arguments.variant) for run in runs], device=device, settings=settings)
    return Predictor(checkpoints, device=device, settings=settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases failed, 2 if nothing could be done."""
    return run(parser, predict, argv)
