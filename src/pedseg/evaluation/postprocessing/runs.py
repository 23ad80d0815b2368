"""Post-processing of trained runs: their folds, their held-out source cases, and rules applied to their output."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.cases import Case
from pedseg.data.cohorts import convention_of, labelled_cases
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.evaluation.pairing import pair_cases
from pedseg.evaluation.postprocessing.folders import Applied, label_maps, postprocess_folder
from pedseg.evaluation.postprocessing.keep_largest import Choice, HeldOut
from pedseg.evaluation.scoring import score_cases
from pedseg.files import read_json, write_json
from pedseg.inference.postprocessing import Rule
from pedseg.inference.settings import RECORD
from pedseg.labels import LabelConvention
from pedseg.runs import RunFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import ImportedSettings, read_settings, read_stored

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


def find_experiments(sources: Sequence[Path]) -> tuple[list[Experiment], list[tuple[Path, str]]]:
    """Find the runs in the given folders.

    Args:
        sources: single runs (``fold_*``), experiments, or folders of these.

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
            reason = _unusable(fold)
            if reason:
                left_out.append((fold.path, reason))
            else:
                usable.setdefault((fold.path.parent, not single), {})[fold.path] = fold
    return [Experiment(path, tuple(folds.values()), whole) for (path, whole), folds in usable.items()], left_out


def postprocess_fold(
    fold: RunFolder, name: str, rules: Sequence[Rule], *, workers: int, overwrite: bool = False
) -> Applied:
    """Apply a rule set to the predictions of a run, and score the result where there are labels.

    Args:
        fold: the run; its predictions and scores are left alone.
        name: of the rule set, and of the folder in ``postprocessed``.
        rules: the rule set.
        workers: processes.
        overwrite: replace label maps that other rules or other predictions have left there.

    Raises:
        PedsegError: as `postprocess_folder`; or the label maps are in other voxel labels than the cohort.
    """
    data = read_settings(fold.path).data
    cohort = data.evaluation
    settings = data.cohorts[cohort]
    convention = convention_of(data.store, cohort, setting=settings.convention)
    _check_convention(fold, convention)
    output = fold.postprocessed / name
    applied = postprocess_folder(
        fold.predictions, output, rules, convention=convention, workers=workers, overwrite=overwrite
    )
    folder = settings.folder
    if settings.labelled and folder is not None and folder.is_dir():
        labelled = labelled_cases(folder, list(applied.inputs), cohort=cohort)
        if labelled:
            score_cases(output, labelled, output=output / "scores.csv", convention=convention, workers=workers)
    return applied


def predict_held_out(fold: RunFolder, cases: Mapping[str, Sequence[Case]], *, device: "torch.device") -> list[HeldOut]:
    """Predict source cases that a run has not been trained on, those that are not predicted yet.

    Args:
        fold: the run; label maps go to its ``source_validation/<cohort>``.
        cases: labelled cases by cohort.
        device: where the network runs.

    Raises:
        PedsegError: label maps that are there were made by another network or with other settings.
        ProblemsError: some cases could not be predicted.
    """
    return list(_predict_held_out(fold, cases, device))


def _predict_held_out(
    fold: RunFolder, cases: Mapping[str, Sequence[Case]], device: "torch.device"
) -> Iterator[HeldOut]:
    from pedseg.inference import predict_cases  # noqa: PLC0415

    settings = read_settings(fold.path)
    data = settings.data
    predictor: Predictor | None = None
    for cohort, some in cases.items():
        convention = convention_of(data.store, cohort, setting=data.cohorts[cohort].convention)
        output = fold.source_validation / cohort
        if not all((output / f"{case.id}.nii.gz").exists() for case in some):
            predictor = predictor or _predictor(fold, settings, device)
            problems = predict_cases(predictor, some, output, convention=convention)
            if problems:
                raise ProblemsError(f"{len(problems)} source cases could not be predicted:", problems)
        yield HeldOut(cohort, pair_cases(output, some), convention)


def _predictor(fold: RunFolder, settings: RunSettings, device: "torch.device") -> "Predictor":
    """The network of a run, used as the run did."""
    from pedseg.inference import Predictor, settings_of_run  # noqa: PLC0415

    return Predictor([fold.checkpoint], device=device, settings=settings_of_run(settings, device))


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


def _unusable(fold: RunFolder) -> str:
    """Why a run cannot be post-processed; empty if it can."""
    if isinstance(read_stored(fold.path), ImportedSettings):
        return "it was imported, and names no cohorts; give --predictions DIR and --output DIR"
    if not fold.finished.exists():
        return "it is not finished; give its command again to continue it"
    try:
        label_maps(fold.predictions)
    except PedsegError:
        return "it has predicted no case"
    return ""


def _check_convention(fold: RunFolder, convention: LabelConvention) -> None:
    record = fold.predictions / RECORD
    recorded = read_json(record).get("convention") if record.exists() else None
    if recorded and recorded != str(convention):
        raise PedsegError(
            f"{fold.predictions} holds label maps in {recorded}, and the cohort is now in {convention}; give the "
            "folder as --predictions with its --convention"
        )
