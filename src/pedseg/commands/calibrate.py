"""Calibrate a run's network on a folder of images without labels: ``pedseg calibrate --run RUN --input DIR``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.options import (
    add_background,
    add_device,
    add_overwrite,
    add_variant,
    command,
    device_of,
    run,
    tell,
)
from pedseg.errors import PedsegError, Problem
from pedseg.locks import writing
from pedseg.ownership import clear, name_left
from pedseg.runs import RunFolder, checkpoints_of
from pedseg.settings.conf import groups

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.cases import Case
    from pedseg.inference import Predictor
    from pedseg.inference.calibration import PartThresholds
    from pedseg.settings.population import Population
    from pedseg.settings.variants import Variant

CALIBRATED = "calibrated"
POPULATION = "brats_peds2023"  # where a run names none


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "calibrate",
        "Find thresholds at which a network's tumour core is as large a part of the whole tumour as is "
        "published of children, in the mean over a folder of images without labels, and keep them as a variant of its "
        "run, in RUN/predictions/NAME. `pedseg predict --run RUN --variant NAME` uses it, and `pedseg convert` takes "
        "it. In training variant=[calibrated] does the same on images of the run's own target.",
    )
    p.add_argument("--run", type=Path, required=True, metavar="DIR", help="run folder of the network")
    add_variant(p, "its name; how it predicts is that of conf/variant, else of calibrated", default="calibrated")
    p.add_argument("--input", type=Path, required=True, help="20 cases or more in a BraTS, Decathlon or nnU-Net layout")
    p.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="REGION=SHARE",
        help="mean part of WT that tc or et has (default: that of 99 children of BraTS-PEDs 2023)",
    )
    p.add_argument("--no-mirror", action="store_true", help="do not average over mirrored windows (8 times faster)")
    add_background(p)
    add_device(p)
    add_overwrite(p, "replace a variant of that name, its label maps too")
    return p


def calibrate(arguments: argparse.Namespace) -> int:
    """Calibrate on every case of the input folder; 1 if some could not be read."""
    run = RunFolder(_only(checkpoints_of(arguments.run)).parents[1])
    with writing(run.path, within=run.written):
        from pedseg.assembly import retold

        with retold(run):
            return calibrate_run(run, arguments)


def calibrate_run(run: RunFolder, arguments: argparse.Namespace) -> int:
    """Calibrate a run's network; 1 if some cases could not be read."""
    place = run.variant(arguments.variant)
    how = _how(arguments, run)
    if place.path.exists() and not arguments.overwrite:
        raise PedsegError(f"{place.path} exists; give another --variant, or --overwrite")

    from pedseg.cases import find_cases

    found = find_cases(arguments.input, cohort="input", labelled=False)
    found.say()

    from pedseg.hardware import fast_precision
    from pedseg.inference import Predictor, Settings
    from pedseg.inference.calibration import PartThresholds, write_thresholds

    parts = PartThresholds({str(region): share for region, share in how.shares.items()})
    device = device_of(arguments)
    settings = Settings(
        mirror=not arguments.no_mirror,
        precision=fast_precision(device).precision,
        adapt_steps=how.adapt_steps,
        adapt_rate=how.adapt_rate,
        background=arguments.background,
    )
    predictor = Predictor([run.checkpoint], device=device, settings=settings, thresholds=[None])
    problems = [*found.problems, *_count(predictor, parts, found.cases)]
    lines = parts.summary()
    clear(place.path)
    name_left(place.path)
    place.begin(how)
    write_thresholds(place.thresholds, parts, images=len(found.cases))
    for line in lines:
        print(line)
    print(f"{place.thresholds}: calibrated on {int(parts.cases.item())} cases in which a tumour was found")
    return tell(problems, f"{len({problem.case for problem in problems})} cases are left out:")


def _how(arguments: argparse.Namespace, run: RunFolder) -> "Variant":
    """Settings of the variant, with the shares and the mirroring of the command line.

    Raises:
        PedsegError: it is not calibrated, or a share cannot be used.
    """
    from pydantic import ValidationError

    from pedseg.settings.faults import messages
    from pedseg.settings.variants import Variant, conf_variant

    name = arguments.variant if arguments.variant in groups()["variant"] else CALIBRATED
    values = conf_variant(name, _population(run)).as_json()
    given = {"shares": _shares(arguments.share)} if arguments.share else {}
    try:
        how = Variant.model_validate({**values, **given, "mirror": not arguments.no_mirror})
    except ValidationError as error:
        raise PedsegError("\n".join(messages(error, model=Variant))) from None
    if not how.calibrated:
        raise PedsegError(f"--variant {name} is not calibrated; give a name of your own, or {CALIBRATED}")
    return how


def _population(run: RunFolder) -> "Population":
    """That of the run's target; the children of BraTS-PEDs 2023 where it names none."""
    from pedseg.settings.population import load_population
    from pedseg.settings.run import RunSettings
    from pedseg.settings.stored import read_stored

    stored = read_stored(run.path) if run.config.exists() else None
    own = stored.population if isinstance(stored, RunSettings) else None
    return own or load_population(POPULATION)


def _count(predictor: "Predictor", parts: "PartThresholds", cases: "Sequence[Case]") -> list[Problem]:
    """Count every case that can be predicted; say what went wrong with the others."""
    import torch
    from rich.progress import track

    from pedseg.inference.cases import CASE_ERRORS, problems_of

    problems: list[Problem] = []
    for case in track(cases, description="calibrating"):
        try:
            prepared = predictor.prepare(case)
            image, brain = torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)
            with predictor.following(image, brain) as logits:
                parts.count(logits)
        except CASE_ERRORS as error:
            problems += problems_of(case, error)
    return problems


def _only(checkpoints: Sequence[Path]) -> Path:
    if len(checkpoints) > 1:
        raise PedsegError(
            f"there are {len(checkpoints)} networks ({checkpoints[0]} …); calibrate each by itself: --run RUN/fold_0"
        )
    return checkpoints[0]


def _shares(given: Sequence[str]) -> dict[str, float]:
    """Ratios by region, of the command line."""
    try:
        return {region: float(part) for region, part in (text.split("=") for text in given)}
    except ValueError as error:
        raise PedsegError(f"--share {' '.join(given)}: give REGION=SHARE, such as tc=0.9") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases could not be read, 2 if nothing was calibrated."""
    return run(parser(), calibrate, argv)
