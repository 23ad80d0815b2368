"""Calibrate a run's network on a folder of images without labels: ``pedseg calibrate --run RUN --input DIR``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
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
    from pedseg.calibration.calibration import Calibration
    from pedseg.cases import Case
    from pedseg.data.store import StoredCase
    from pedseg.inference import Predictor
    from pedseg.labels import LabelConvention
    from pedseg.settings.population import Population
    from pedseg.settings.variants import Variant

POPULATION = "brats_peds2023"  # where a run names none
RULES = {  # variant of conf/ that is each rule's
    "published": "calibrated", "estimated": "estimated", "bbse": "bbse", "map": "map", "per_case": "per_case"
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "calibrate",
        "Find thresholds at which a network's tumour core is as large a part of the whole tumour as it is in a folder "
        "of images without labels, and keep them as a variant of its run, in RUN/predictions/NAME. What tells how "
        "large it is, is the rule. `pedseg predict --run RUN --variant NAME` uses it, and `pedseg convert` takes it "
        "unless its thresholds depend on the case. In training variant=[calibrated] does the same on images of the "
        "run's own target.",
        epilog="Rules: published, what is known of such patients; estimated, what the images speak for (EM for label "
        "shift); bbse, the same from decisions alone; map, the published share until the images overrule it; "
        "per_case, a share for each case. All but the first need labelled source cases that the network was not "
        "trained on. What each assumes, and what it costs where that fails: docs/calibration.md.",
    )
    p.add_argument("--run", type=Path, required=True, metavar="DIR", help="run folder of the network")
    p.add_argument("--rule", choices=RULES, help="(default: that of the variant, else published)")
    add_variant(p, "its name; how it predicts is that of conf/variant, else as the rule's", default="")
    p.add_argument("--input", type=Path, required=True, help="20 cases or more in a BraTS, Decathlon or nnU-Net layout")
    p.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="labelled source cases that the network was not trained on (default: those that the run holds out)",
    )
    p.add_argument("--convention", help="voxel labels of --source and --score (default: read off them)")
    p.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="REGION=SHARE",
        help="mean part of WT that tc or et has, or LOW-HIGH (default: that of 99 children of BraTS-PEDs 2023)",
    )
    p.add_argument(
        "--parts", nargs="+", choices=("tc", "et"), help="for estimated, bbse and per_case: what is calibrated (tc)"
    )
    p.add_argument(
        "--score",
        type=Path,
        metavar="DIR",
        help="labelled cases of the target, which the curve of assumed shares is scored on when all has been found "
        "(NAME/sensitivity.csv, drawn by `pedseg report`)",
    )
    p.add_argument("--no-mirror", action="store_true", help="do not average over mirrored windows (8 times faster)")
    add_background(p)
    add_device(p)
    add_overwrite(p, "replace a variant of that name, its label maps too")
    return p


def calibrate(arguments: argparse.Namespace) -> int:
    """Calibrate on every case of the input folder; 1 if some could not be read."""
    run = RunFolder(_only(checkpoints_of(arguments.run)).parents[1])
    arguments.variant = arguments.variant or RULES[arguments.rule or "published"]
    with writing(run.path, within=run.written):
        from pedseg.assembly import retold

        with retold(run):
            return calibrate_run(run, arguments)


def calibrate_run(run: RunFolder, arguments: argparse.Namespace) -> int:
    """Calibrate a run's network; 1 if some cases could not be read."""
    place = run.variant(arguments.variant)
    how = variant_of(arguments, run)
    if place.path.exists() and not arguments.overwrite:
        raise PedsegError(f"{place.path} exists; give another --variant, or --overwrite")

    from pedseg.cases import find_cases

    found = find_cases(arguments.input, cohort="input", labelled=False)
    found.say()
    source = Source.of(arguments, run, how)

    from pedseg.assembly.calibration_folders import count_target, score
    from pedseg.calibration.calibration import Calibration
    from pedseg.calibration.record import summary, write_thresholds
    from pedseg.calibration.sensitivity import write_curve

    predictor = _predictor(arguments, run, how)
    calibration = Calibration(how, images=len(found.cases), source=source.size)
    problems = [*found.problems, *source.count(predictor, calibration)]
    problems += count_target(predictor, found.cases, calibration)
    if not calibration.cases:
        raise PedsegError("no tumour was found in any image, so no part of one can be calibrated")
    lines = summary(calibration)
    clear(place.path)
    name_left(place.path)
    place.begin(how)
    write_curve(place.sensitivity, calibration)
    write_thresholds(place.thresholds, calibration)
    if arguments.score:
        scored, failed = score(predictor, arguments.score, calibration, arguments.convention)
        write_curve(place.sensitivity, calibration, scored)
        problems += failed
    for line in lines:
        print(line)
    print(f"{place.thresholds}: calibrated on {calibration.cases} cases in which a tumour was found")
    return tell(problems, f"{len({problem.case for problem in problems})} cases are left out:")


def _predictor(arguments: argparse.Namespace, run: RunFolder, how: "Variant") -> "Predictor":
    from pedseg.hardware import fast_precision
    from pedseg.inference import Predictor, Settings

    device = device_of(arguments)
    settings = Settings(
        mirror=not arguments.no_mirror,
        precision=fast_precision(device).precision,
        adapt_steps=how.adapt_steps,
        adapt_rate=how.adapt_rate,
        background=arguments.background,
    )
    return Predictor([run.checkpoint], device=device, settings=settings, thresholds=[None])


@dataclass(frozen=True)
class Source:
    """Labelled source cases that a network was not trained on: of a folder, or those that its run holds out.

    Attributes:
        folder: cases of a folder.
        convention: of their labels.
        problems: cases of the folder that cannot be used.
        prepared: cases of the run's store.
    """

    folder: "Sequence[Case]" = ()
    convention: "LabelConvention | None" = None
    problems: Sequence[Problem] = ()
    prepared: "Sequence[StoredCase]" = ()

    @classmethod
    def of(cls, arguments: argparse.Namespace, run: RunFolder, how: "Variant") -> "Source":
        """What a rule needs of them: nothing, where it is published.

        Raises:
            PedsegError: it needs some, and there is none.
        """
        if not how.needs_source:
            return cls()
        if arguments.source:
            from pedseg.assembly.calibration_folders import labelled_cases

            return cls(*labelled_cases(arguments.source, arguments.convention))
        from pedseg.assembly import select
        from pedseg.assembly.calibration import held_out
        from pedseg.settings.run import RunSettings
        from pedseg.settings.stored import read_stored

        settings = read_stored(run.path) if run.config.exists() else None
        if not isinstance(settings, RunSettings):
            raise PedsegError(
                f"{run.path}: names no source cases, and {how.calibration} needs labelled ones that the network was "
                "not trained on; give --source DIR, or --rule published"
            )
        return cls(prepared=held_out(settings, how, run, select(settings, target=())))

    @property
    def size(self) -> int:
        """How many cases there are."""
        return len(self.folder) + len(self.prepared)

    def count(self, predictor: "Predictor", calibration: "Calibration") -> list[Problem]:
        """Count every case, and say which cannot be used."""
        if not self.size:
            return []
        from pedseg.assembly.calibration import count_source as count_prepared
        from pedseg.assembly.calibration_folders import count_source

        count_prepared(predictor, self.prepared, calibration)
        if self.convention is None:
            return []
        return [*self.problems, *count_source(predictor, self.folder, calibration.source, self.convention)]


def variant_of(arguments: argparse.Namespace, run: RunFolder) -> "Variant":
    """Settings of the variant, with the rule, the shares and the mirroring of the command line.

    Raises:
        PedsegError: it is not calibrated, or what is given does not go together.
    """
    from pydantic import ValidationError

    from pedseg.settings.faults import messages
    from pedseg.settings.variants import TOLD, Variant, calibration_faults, conf_variant

    population = _population(run)
    known = arguments.variant in groups()["variant"]
    values = conf_variant(arguments.variant if known else RULES[arguments.rule or "published"], population).as_json()
    if arguments.rule and arguments.rule != values["calibration"]:
        shares = conf_variant("calibrated", population).as_json()["shares"] if arguments.rule in TOLD else {}
        values |= {"calibration": arguments.rule, "shares": shares}
    given = {"shares": _shares(arguments.share)} if arguments.share else {}
    given |= {"calibrated_parts": arguments.parts} if arguments.parts else {}
    try:
        how = Variant.model_validate({**values, **given, "mirror": not arguments.no_mirror})
    except ValidationError as error:
        raise PedsegError("\n".join(messages(error, model=Variant))) from None
    if not how.calibrated:
        raise PedsegError(f"--variant {arguments.variant} is not calibrated; give a name of your own, or --rule RULE")
    for fault in calibration_faults(how):
        raise PedsegError(fault)
    return how


def _population(run: RunFolder) -> "Population":
    """That of the run's target; the children of BraTS-PEDs 2023 where it names none."""
    from pedseg.settings.population import load_population
    from pedseg.settings.run import RunSettings
    from pedseg.settings.stored import read_stored

    stored = read_stored(run.path) if run.config.exists() else None
    own = stored.population if isinstance(stored, RunSettings) else None
    return own or load_population(POPULATION)


def _only(checkpoints: Sequence[Path]) -> Path:
    if len(checkpoints) > 1:
        raise PedsegError(
            f"there are {len(checkpoints)} networks ({checkpoints[0]} …); calibrate each by itself: --run RUN/fold_0"
        )
    return checkpoints[0]


def _shares(given: Sequence[str]) -> dict[str, float | list[float]]:
    """Shares by region, or intervals of them, of the command line."""
    try:
        ends = {region: [float(end) for end in text.split("-")] for region, text in (one.split("=") for one in given)}
        return {region: some if len(some) > 1 else some[0] for region, some in ends.items()}
    except ValueError as error:
        raise PedsegError(f"--share {' '.join(given)}: give REGION=SHARE, such as tc=0.9 or tc=0.85-0.95") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases could not be read, 2 if nothing was calibrated."""
    return run(parser, calibrate, argv)
