"""Post-processing of trained runs: their folds, their held-out source cases, and rules applied to their output."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.cases import Case
from pedseg.cases.label_maps import CONVENTION, find_label_maps, read_record
from pedseg.data.cohorts import convention_of, labelled_cases
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.evaluation.pairing import pair_cases
from pedseg.evaluation.postprocessing.folders import Applied, postprocess_folder
from pedseg.evaluation.postprocessing.keep_largest import Choice, HeldOut
from pedseg.evaluation.scoring import score_cases
from pedseg.files import read_json, write_json
from pedseg.inference.postprocessing import Rule
from pedseg.inference.settings import RECORD
from pedseg.labels import LabelConvention
from pedseg.runs import RunFolder, VariantFolder, how_it_predicts, titled
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import ImportedSettings, read_settings, read_stored
from pedseg.settings.variants import PLAIN, Variant

if TYPE_CHECKING:  # rules are applied without a network
    import torch

    from pedseg.inference import Predictor


@dataclass(frozen=True, slots=True)
class Experiment:
    """Finished runs of one model.

    Attributes:
        path: folder of the runs.
        folds: the runs that are finished and have predicted.
        whole: whether every run in the folder was looked at, not only one that was named.
    """

    path: Path
    folds: tuple[RunFolder, ...]
    whole: bool


def find_experiments(sources: Sequence[Path], *, of: str = PLAIN) -> tuple[list[Experiment], list[tuple[Path, str]]]:
    """Find the runs in the given folders.

    Args:
        sources: single runs (``fold_*``), experiments, or folders of these.
        of: variant whose label maps they are to have.

    Returns:
        The experiments; and the runs that cannot be used, with the reason.

    Raises:
        PedsegError: a source holds no run.
    """
    usable: dict[tuple[Path, bool], dict[Path, RunFolder]] = {}
    left_out: list[tuple[Path, str]] = []
    for source in sources:
        single = (source / "config.json").exists()
        folds = [source] if single else sorted(path.parent for path in source.rglob("fold_*/config.json"))
        if not folds:
            raise PedsegError(f"{source}: no fold_*/config.json in it; give the folder of a run, such as runs/uda")
        for fold in map(RunFolder, folds):
            reason = _unusable(fold, of)
            if reason:
                left_out.append((fold.path, reason))
            else:
                usable.setdefault((fold.path.parent, not single), {})[fold.path] = fold
    return [Experiment(path, tuple(folds.values()), whole) for (path, whole), folds in usable.items()], left_out


def postprocess_variant(
    settings: RunSettings,
    source: VariantFolder,
    output: VariantFolder,
    rules: Sequence[Rule],
    *,
    workers: int,
    overwrite: bool = False,
) -> Applied:
    """Apply a rule set to the label maps of a variant of a run, and leave them alone.

    Args:
        settings: of the run.
        source: the variant.
        output: the variant that this makes.
        rules: the rule set.
        workers: processes.
        overwrite: replace label maps that other rules or other predictions have left there.

    Raises:
        PedsegError: as `postprocess_folder`; or the label maps are in other voxel labels than the cohort.
    """
    convention = evaluated_convention(settings)
    _check_convention(source, convention)
    return postprocess_folder(
        source.path, output.path, rules, convention=convention, workers=workers, overwrite=overwrite
    )


def evaluated_convention(settings: RunSettings) -> LabelConvention:
    """Voxel labels of the cohort that a run evaluates."""
    cohort = settings.data.evaluation
    return convention_of(settings.data.store, cohort, setting=settings.data.cohorts[cohort].convention)


def postprocess_fold(
    fold: RunFolder, name: str, how: Variant, rules: Sequence[Rule], *, workers: int, overwrite: bool = False
) -> Applied:
    """Give a finished run a variant that clears up the label maps of another one, with scores where there are labels.

    Args:
        fold: the run.
        name: of the variant.
        how: its settings.
        rules: those that it stands for.
        workers: processes.
        overwrite: replace label maps that other rules or other predictions have left there.

    Raises:
        PedsegError: as `postprocess_variant`.
    """
    settings = read_settings(fold.path)
    output = fold.variant(name)
    applied = postprocess_variant(settings, fold.variant(how.of), output, rules, workers=workers, overwrite=overwrite)
    output.begin(how, applied.inputs)
    cohort = settings.data.cohorts[settings.data.evaluation]
    folder, labelled = cohort.folder, []
    if cohort.labelled and folder is not None and folder.exists():
        labelled = labelled_cases(folder, list(applied.inputs), cohort=settings.data.evaluation)
    if labelled:
        convention = evaluated_convention(settings)
        score_cases(output.path, labelled, output=output.scores, convention=convention, workers=workers)
    write_json(output.finished, {"predicted": len(applied.inputs), "scored": len(labelled)})
    return applied


def predict_held_out(
    place: VariantFolder, cases: Mapping[str, Sequence[Case]], *, device: "torch.device"
) -> list[HeldOut]:
    """Predict source cases that a run has not been trained on, those that are not predicted yet.

    Args:
        place: the variant of the run as which they are predicted; label maps go to the run's
            ``source_validation/<cohort>``, those of another variant than the plain one to ``<cohort> · <variant>``.
        cases: labelled cases by cohort.
        device: where the network runs.

    Raises:
        PedsegError: label maps that are there were made by another network or with other settings.
        ProblemsError: some cases could not be predicted.
    """
    return list(_predict_held_out(place, cases, device))


def _predict_held_out(
    place: VariantFolder, cases: Mapping[str, Sequence[Case]], device: "torch.device"
) -> Iterator[HeldOut]:
    from pedseg.inference import predict_cases  # noqa: PLC0415

    settings = read_settings(place.run)
    data = settings.data
    for cohort, some in cases.items():
        convention = convention_of(data.store, cohort, setting=data.cohorts[cohort].convention)
        output = RunFolder(place.run).source_validation / titled(cohort, place.name)
        if not all((output / f"{case.id}.nii.gz").exists() for case in some):
            predictor = _predictor(place, settings, device, cohort)
            problems = predict_cases(predictor, some, output, convention=convention)
            if problems:
                raise ProblemsError(f"{len(problems)} source cases could not be predicted:", problems)
        yield HeldOut(cohort, pair_cases(output, some), convention)


def _predictor(place: VariantFolder, settings: RunSettings, device: "torch.device", cohort: str) -> "Predictor":
    """The network of a run, used as a variant does, on images of a cohort."""
    from pedseg.inference import settings_of_run  # noqa: PLC0415
    from pedseg.inference.variants import variant_predictor  # noqa: PLC0415

    how = settings_of_run(settings, how_it_predicts(place), device, cohort=cohort)
    return variant_predictor([place], device=device, settings=how)


def pool(parts: Sequence[HeldOut]) -> list[HeldOut]:
    """Put the parts of each cohort together.

    Raises:
        ProblemsError: a case is in several parts, so that it would count twice.
    """
    pooled: dict[str, HeldOut] = {}
    for part in parts:
        before = pooled.get(part.cohort)
        pairs = [*(before.pairs if before else ()), *part.pairs]
        pooled[part.cohort] = HeldOut(part.cohort, pairs, part.convention)
    for one in pooled.values():
        times = Counter(pair.case for pair in one.pairs)
        twice = sorted(case for case, count in times.items() if count > 1)
        if twice:
            fix = "give runs of one division into folds"
            raise ProblemsError(
                f"cohort {one.cohort}: cases are held out by several folds:",
                [Problem(case, "", "is held out twice", fix) for case in twice],
            )
    return [
        HeldOut(one.cohort, sorted(one.pairs, key=lambda pair: pair.case), one.convention) for one in pooled.values()
    ]


def write_choice(experiment: Experiment, choice: Choice, *, overwrite: bool) -> None:
    """Write what was chosen, and on what evidence, beside the folds of an experiment.

    Raises:
        PedsegError: another choice is there, made on other folds or predictions.
    """
    settings = read_settings(experiment.folds[0].path)
    record = {
        **choice.record(),
        "folds": sorted(fold.path.name for fold in experiment.folds),
        "on_evaluated_cases": settings.data.evaluation in choice.cases,
    }
    path = experiment.folds[0].choice
    if path.exists() and read_json(path) != record and not overwrite:
        raise PedsegError(
            f"{path} was chosen on other folds or other predictions; overwrite to replace it and the label maps that "
            "it made, or move it away"
        )
    write_json(path, record)


def _unusable(fold: RunFolder, of: str) -> str:
    """Why a run cannot be post-processed; empty if it can."""
    if isinstance(read_stored(fold.path), ImportedSettings):
        return "it was imported, and names no cohorts; give --predictions DIR and --output DIR"
    if not fold.finished.exists():
        return "it is not finished; give its command again to continue it"
    try:
        find_label_maps(fold.variant(of).path)
    except PedsegError:
        return f"it has predicted no case as variant {of}"
    return ""


def _check_convention(source: VariantFolder, convention: LabelConvention) -> None:
    record = source.path / RECORD
    recorded = read_record(record).get(CONVENTION)
    if recorded and recorded != str(convention):
        raise PedsegError(
            f"{source.path} holds label maps in {recorded}, and the cohort is now in {convention}; give the folder as "
            "--predictions with its --convention"
        )
