"""Which runs are validated, on which cases, and whether that has been done already."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pedseg.calibration.per_case import PerCase
from pedseg.choosing.measure import PATCHES, VOXELS
from pedseg.choosing.validators import VALIDATORS, read_validators
from pedseg.data.selection import CaseIds, Chosen, choose_cases
from pedseg.errors import PedsegError
from pedseg.files import sha256
from pedseg.inference import Settings
from pedseg.inference.variants import thresholds_of
from pedseg.runs import PLAIN, RunFolder, VariantFolder, titled, trained_on_labels
from pedseg.settings.population import Population
from pedseg.settings.stored import ImportedSettings, read_settings, read_stored
from pedseg.settings.variants import Variant

FORMAT = 3  # raised whenever scores of an older version do not compare
UNDECIDED = ("mirror", "window_batch")  # of the prediction: the same for all, and without effect


@dataclass(frozen=True, slots=True)
class Plan:
    """How one variant of a run is validated.

    Attributes:
        run: folder of its variant.
        how: settings of the variant.
        store: folder of the prepared cohorts.
        checkpoint: SHA-256 of its last checkpoint.
        source: held-out labelled cases; none if it was trained on all of them.
        target: cases whose images are read.
        prediction: how the run predicts, but without mirroring.
        cases: most cases of each domain.
        seed: of the choice of cases and of the patches in them.
        target_labels: whether the run was trained on labels of the target's cohort; it has no say then.
        synthetic: whether the data are.
        population: that the target is thought to be of; None if that is not known.
    """

    run: VariantFolder
    how: Variant
    store: Path
    checkpoint: str
    source: Chosen
    target: Chosen
    prediction: Settings
    cases: int
    seed: int
    target_labels: bool
    synthetic: bool
    population: Population | None

    @property
    def title(self) -> str:
        """The run, and the variant if it is not the plain one."""
        return titled(str(self.run.run), self.run.name)

    @property
    def thresholds(self) -> list[float] | dict[str, Any] | None:
        """Thresholds that lie beside the checkpoint, or the rule that gives them; in plain JSON."""
        found = thresholds_of(self.run)
        if found is None:
            return None
        return found.as_json() if isinstance(found, PerCase) else list(found)

    @property
    def identity(self) -> str:
        """What tells it from others: the checkpoint, and the variant if it is not the plain one."""
        return titled(self.checkpoint, self.run.name)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the scores, beside the checkpoint; in plain JSON."""
        return {
            "format": FORMAT,
            "cases": self.cases,
            "seed": self.seed,
            "patches": PATCHES,
            "voxels": VOXELS,
            **{name: value for name, value in self.prediction.deciding.items() if name not in UNDECIDED},
            **({"thresholds": self.thresholds} if self.thresholds else {}),
            "source": [list(case) for case in self.source],
            "target": [list(case) for case in self.target],
            "population": self.population and self.population.as_json(),
        }

    def is_current(self) -> bool:
        """Whether every validator and the masks beside them were made from this checkpoint with these settings."""
        if not (self.run.validators.exists() and self.run.target_masks.exists()):
            return False
        try:
            record = read_validators(self.run.validators)
        except PedsegError:
            return False
        same = record.get("checkpoint") == self.checkpoint and record["settings"] == self.settings
        return bool(same and VALIDATORS.keys() <= record["scores"].keys())


def find_runs(sources: Sequence[Path]) -> tuple[list[VariantFolder], list[tuple[Path, str]]]:
    """Find the variants of finished runs in the given folders that are predictions.

    Args:
        sources: single runs (``fold_*``), experiments, or folders of these.

    Returns:
        The variants; and the runs that cannot be used, with the reason.

    Raises:
        PedsegError: a source holds no run.
    """
    usable: dict[Path, list[VariantFolder]] = {}
    left_out: list[tuple[Path, str]] = []
    for source in sources:
        single = (source / "config.json").exists()
        folders = [source] if single else sorted(path.parent for path in source.rglob("fold_*/config.json"))
        if not folders:
            raise PedsegError(f"{source}: no fold_*/config.json in it; give the folder of a run, such as runs/uda")
        for run in map(RunFolder, folders):
            if isinstance(read_stored(run.path), ImportedSettings):
                left_out.append((run.path, "it was imported, and names no cohorts"))
            elif not (run.finished.exists() and run.checkpoint.exists()):
                left_out.append((run.path, "it is not finished; give its command again to continue it"))
            else:
                usable[run.path.resolve()] = predictions_of(run)
    return [variant for variants in usable.values() for variant in variants], left_out


def predictions_of(run: RunFolder) -> list[VariantFolder]:
    """Variants of a run that are predictions; the plain one where it has none, as where it holds out no case.

    Thresholds by labels are left out: they are a control that nothing is chosen among.
    """
    found = [one for one in run.variants() if (how := one.how()) is not None and not (how.rules or how.few)]
    return found or [run.variant(PLAIN)]


def make_plan(
    run: VariantFolder,
    how: Variant,
    *,
    held_out: CaseIds,
    target: CaseIds,
    prediction: Settings,
    cases: int,
    seed: int,
    population: Population | None = None,
) -> Plan:
    """Choose the cases of a run.

    Args:
        run: a variant of a finished run.
        how: its settings.
        held_out: labelled source cases that it was not trained on; a cohort of the target is refused.
        target: training cases of the target.
        prediction: how the run predicts; nothing is mirrored here.
        cases: most cases of each domain.
        seed: of the choice.
        population: that the target is thought to be of, in place of the run's.

    Raises:
        PedsegError: there is no target case, or a cohort is on both sides.
    """
    settings = read_settings(run.run)
    both = sorted(set(held_out) & set(target))
    if both:
        raise PedsegError(f"{run.run}: cohort {both[0]} is source and target; its labels cannot be used and not used")
    chosen = choose_cases(target, cases, seed=seed)
    if not chosen:
        raise PedsegError(f"{run.run}: has no image of the target; give --target COHORT, one that is prepared")
    return Plan(
        run=run,
        how=how,
        store=settings.data.store,
        checkpoint=sha256(RunFolder(run.run).checkpoint),
        source=choose_cases(held_out, cases, seed=seed),
        target=chosen,
        prediction=replace(prediction, mirror=False),
        cases=cases,
        seed=seed,
        target_labels=any(trained_on_labels(settings, cohort) for cohort in target),
        synthetic=settings.data.synthetic,
        population=population or settings.population,
    )
