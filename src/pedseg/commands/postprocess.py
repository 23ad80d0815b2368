"""Clear up label maps, beside the raw ones: ``pedseg postprocess runs/uda --rules peds2023 keep_largest``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.options import (
    add_device,
    add_output,
    add_overwrite,
    add_runs,
    add_variant,
    add_workers,
    command,
    device_of,
    left_out,
    run,
)
from pedseg.errors import PedsegError
from pedseg.locks import writing, writing_all
from pedseg.runs import PLAIN

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.evaluation.postprocessing.runs import Experiment
    from pedseg.inference.postprocessing import Rule
    from pedseg.runs import RunFolder

# Keys of pedseg.inference.postprocessing.RULE_SETS, which is slow to import, and the one that is chosen.
CHOSEN = "keep_largest"
RULES = ("peds2023", "peds2023_et", "peds2023_ed", "peds2023_components", "core", CHOSEN)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "postprocess",
        "Apply rules to predicted label maps, which stay as they are. Each rule set makes a variant of finished runs, "
        "with label maps and where there are labels scores; training with variant=[plain,peds2023] does the same.",
        epilog="peds2023: as the winner of BraTS-PEDs 2023 did, all ET becomes NC where ET/WT < 0.04 (by itself: "
        "peds2023_et), all ED becomes NC where ED/WT < 1.0 (peds2023_ed), and components of fewer than 130 voxels go "
        "(peds2023_components). core: all of WT becomes TC, the trivial rule that claims have to beat. "
        "keep_largest: nnU-Net's rule, used only where it raises the Dice of held-out source "
        "cases, which are predicted first; labels of the target cohort are not read for it.",
    )
    add_runs(p, nargs="*")
    p.add_argument("--rules", nargs="+", choices=RULES, required=True, metavar="RULES", help=", ".join(RULES))
    add_variant(p, "variant of the runs whose label maps are cleared up")
    folder = p.add_argument_group("label maps of a folder, instead of runs")
    folder.add_argument("--predictions", type=Path, metavar="DIR", help="folder of <case id>.nii.gz")
    add_output(folder, "DIR", "for <rules>/<case id>.nii.gz", required=False)
    folder.add_argument("--convention", help="their voxel labels (default: as recorded beside them, or brats2023)")
    folder.add_argument("--choice", type=Path, metavar="JSON", help="postprocessing.json of a run, for keep_largest")
    add_device(p)
    add_workers(p)
    add_overwrite(p, "replace what other rules or predictions have left")
    return p


def postprocess(arguments: argparse.Namespace) -> None:
    """Apply the rules to runs or to a folder."""
    in_folder = bool(arguments.predictions or arguments.output)
    if in_folder == bool(arguments.runs):
        raise PedsegError("give runs, or --predictions DIR with --output DIR")
    if in_folder:
        postprocess_folders(arguments)
    else:
        postprocess_runs(arguments)


def postprocess_folders(arguments: argparse.Namespace) -> None:
    """Apply each rule set to a folder of label maps."""
    if not (arguments.predictions and arguments.output):
        raise PedsegError("--predictions DIR and --output DIR belong together; give both")
    if CHOSEN in arguments.rules and not arguments.choice:
        raise PedsegError(
            f"{CHOSEN} needs to know which regions: give --choice JSON, the postprocessing.json that "
            f"`pedseg postprocess RUN --rules {CHOSEN}` has written beside the folds of a run"
        )

    from pedseg.cases.label_maps import known_convention
    from pedseg.data.parallel import workers_of
    from pedseg.evaluation.postprocessing.folders import postprocess_folder, survey_folder
    from pedseg.evaluation.postprocessing.keep_largest import read_choice

    known = known_convention(arguments.predictions, arguments.convention, option="--convention")
    rules = _rule_sets(arguments.rules, read_choice(arguments.choice) if CHOSEN in arguments.rules else ())
    print(f"label maps in {known.explained(survey_folder(arguments.predictions, known)[1].every)}")
    for name, rule_set in rules.items():
        with writing(arguments.output / name):
            applied = postprocess_folder(
                arguments.predictions,
                arguments.output / name,
                rule_set,
                convention=known,
                workers=workers_of(arguments.workers or "auto"),
                overwrite=arguments.overwrite,
            )
        changed = f"{applied.changed_cases} of {len(applied.inputs)} label maps changed"
        print(f"{name}: {changed}, in {arguments.output / name}")


def postprocess_runs(arguments: argparse.Namespace) -> None:
    """Apply each rule set to the label maps of every finished fold, and score the result."""
    from pedseg.evaluation.postprocessing.runs import find_experiments

    experiments, others = find_experiments(arguments.runs, of=arguments.variant)
    for fold, reason in others:
        left_out(fold, reason)
    if not experiments:
        raise PedsegError("there is no finished run with predictions; train one, or finish it")
    folds = [fold for experiment in experiments for fold in experiment.folds]
    with writing_all((fold.path for fold in folds), within=folds[0].written):
        postprocess_experiments(experiments, arguments)


def postprocess_experiments(experiments: "Sequence[Experiment]", arguments: argparse.Namespace) -> None:
    """Apply each rule set to every fold of the experiments."""
    from pedseg.data.parallel import workers_of
    from pedseg.evaluation.postprocessing.runs import postprocess_fold
    from pedseg.settings.variants import Variant

    workers = workers_of(arguments.workers or "auto")
    chosen = choose(experiments, arguments, workers=workers) if CHOSEN in arguments.rules else {}
    for experiment in experiments:
        for name, rules in _rule_sets(arguments.rules, chosen.get(experiment.path, ())).items():
            variant = name if arguments.variant == PLAIN else f"{arguments.variant}_{name}"
            how = Variant.model_validate({"rules": name, "of": arguments.variant})
            done = [
                postprocess_fold(fold, variant, how, rules, workers=workers, overwrite=arguments.overwrite)
                for fold in experiment.folds
            ]
            changed = f"{sum(d.changed_cases for d in done)} of {sum(len(d.inputs) for d in done)} label maps changed"
            print(f"{experiment.path} · {variant}: {changed}, in fold_*/predictions/{variant}")


def choose(
    experiments: "Sequence[Experiment]", arguments: argparse.Namespace, *, workers: int
) -> "dict[Path, Sequence[Rule]]":
    """Choose for each experiment which largest components to keep, on its held-out source cases.

    Raises:
        PedsegError: an experiment has no held-out source case, or only one of its folds was given (no case has been
            predicted then); or another choice is there.
    """
    from pedseg.assembly import held_out_cases
    from pedseg.evaluation.postprocessing import keep_largest
    from pedseg.evaluation.postprocessing.runs import pool, predict_held_out, write_choice
    from pedseg.settings.stored import read_settings

    device = device_of(arguments)
    cases = {fold: held_out_cases(fold) for experiment in experiments for fold in _all_folds(experiment)}
    chosen: dict[Path, Sequence[Rule]] = {}
    for experiment in experiments:
        parts = [
            part
            for fold in experiment.folds
            for part in predict_held_out(fold.variant(arguments.variant), cases[fold], device=device)
        ]
        target = read_settings(experiment.folds[0].path).data.target
        choice = keep_largest.choose(pool(parts), target=target, workers=workers)
        write_choice(experiment, choice, overwrite=arguments.overwrite)
        chosen[experiment.path] = choice.rules
        regions = ", ".join(rule.region.upper() for rule in choice.rules) or "none, as none gains"
        counted = ", ".join(f"{count} held-out cases of {cohort}" for cohort, count in choice.cases.items())
        print(f"{experiment.path} · {CHOSEN}: {regions} (chosen on {counted}: {experiment.folds[0].choice})")
    return chosen


def _all_folds(experiment: "Experiment") -> "Sequence[RunFolder]":
    if not experiment.whole:
        raise PedsegError(
            f"{experiment.folds[0].path} is one fold, and {CHOSEN} is chosen over all folds; give {experiment.path}"
        )
    return experiment.folds


def _rule_sets(names: "Sequence[str]", chosen: "Sequence[Rule]") -> "dict[str, Sequence[Rule]]":
    from pedseg.inference.postprocessing import RULE_SETS

    return {name: chosen if name == CHOSEN else RULE_SETS[name] for name in dict.fromkeys(names)}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if something could not be done."""
    return run(parser, postprocess, argv)
