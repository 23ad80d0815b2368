"""The variants of a run: its trained network is predicted in each of these ways, and what that gives is scored."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pedseg.assembly.calibration import calibrate
from pedseg.assembly.cases import evaluation_cases, held_out_cases
from pedseg.assembly.few_labels import fit_thresholds
from pedseg.assembly.objects import select
from pedseg.assembly.processes import Processes
from pedseg.cases import Case
from pedseg.data.cohorts import labelled_cases
from pedseg.data.selection import Selection
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.evaluation.postprocessing.keep_largest import choose
from pedseg.evaluation.postprocessing.runs import evaluated_convention, postprocess_variant, predict_held_out
from pedseg.evaluation.scoring import score_cases
from pedseg.files import write_json
from pedseg.inference import predict_cases, settings_of_run
from pedseg.inference.postprocessing import RULE_SETS, Rule
from pedseg.inference.variants import variant_predictor
from pedseg.runs import RunFolder, VariantFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import read_settings
from pedseg.settings.variants import KEEP_LARGEST, Variant, conf_variant, in_order

log = logging.getLogger(__name__)


def missing_variants(settings: RunSettings, folder: RunFolder) -> list[str]:
    """Names of the variants of a run's settings that it does not have yet, in the order in which they are made.

    Raises:
        PedsegError: one is there, and was made with other settings.
    """
    places = {name: folder.variant(name) for name in in_order(settings.variant)}
    for name, place in places.items():
        _check(place, settings.variant[name])
    return [name for name, place in places.items() if not place.finished.exists()]


@dataclass(frozen=True, slots=True)
class Trained:
    """A run whose network has been trained, and what it is predicted on.

    Attributes:
        settings: of the run, with the variants that are wanted.
        folder: of the run.
        cases: that it evaluates.
        selection: of the cases that it may look at.
        processes: that predict together.
    """

    settings: RunSettings
    folder: RunFolder
    cases: Sequence[Case]
    selection: Selection
    processes: Processes

    def make_variants(self) -> None:
        """Make every variant that the run does not have yet.

        Every process predicts its share. Scoring is the only part of a run that looks for labels of the evaluated
        cohort, and it begins when all label maps of a variant are written.

        Raises:
            PedsegError: a variant is there, and was made with other settings.
            ProblemsError: some cases could not be predicted.
        """
        for name in missing_variants(self.settings, self.folder):
            self._make(name)

    def _make(self, name: str) -> None:
        place, variant = self.folder.variant(name), self.settings.variant[name]
        if self.processes.first:
            cases = [case.id for case in self.cases]
            place.check(cases)
            place.begin(variant, cases)
        self.processes.wait(f"begun {name}")
        problems = self._clear_up(place, variant) if variant.rules else self._predict(place, variant)
        self.processes.wait(f"predicted {name}")
        if problems:
            raise ProblemsError(f"{len(problems)} cases could not be predicted as {name}:", problems)
        if self.processes.first:
            write_json(place.finished, {"predicted": len(self.cases), "scored": self._score(place)})

    def _predict(self, place: VariantFolder, variant: Variant) -> list[Problem]:
        """Write the label maps of this process's share of the cases, and tell what went wrong."""
        settings, processes = self.settings, self.processes
        if variant.calibrated:
            calibrate(settings, variant, place, self.selection, processes)
        if variant.few:
            fit_thresholds(settings, variant, place, processes)
        if not self.cases:
            return []
        how = settings_of_run(settings, variant, processes.device, as_begun=True)
        predictor = variant_predictor([place], device=processes.device, settings=how)
        convention = evaluated_convention(settings)
        return predict_cases(predictor, processes.share(self.cases), place.path, convention=convention)

    def _clear_up(self, place: VariantFolder, variant: Variant) -> list[Problem]:
        """Apply rules to the label maps of another variant; chosen ones by the source cases that the run holds out."""
        if self.processes.first and self.cases:
            source = self.folder.variant(variant.of)
            rules = self._chosen(source) if variant.rules == KEEP_LARGEST else RULE_SETS[str(variant.rules)]
            postprocess_variant(self.settings, source, place, rules, workers=1)
        return []

    def _chosen(self, source: VariantFolder) -> Sequence[Rule]:
        """Rules that raise the Dice of held-out source cases, predicted as the variant that they are for."""
        held_out = predict_held_out(source, held_out_cases(self.folder), device=self.processes.device)
        choice = choose(held_out, target=self.settings.data.target, workers=1)
        kept = ", ".join(str(rule.region).upper() for rule in choice.rules) or "no region"
        log.info("%s: of %s the largest component alone is kept", KEEP_LARGEST, kept)
        return choice.rules

    def _score(self, place: VariantFolder) -> int:
        """Score the label maps of the cases that have labels into scores.csv, and return how many had."""
        name = self.settings.data.evaluation
        cohort = self.settings.data.cohorts[name]
        if not self.cases or cohort.folder is None:
            return 0
        wanted = [case.id for case in self.cases]
        labelled = labelled_cases(cohort.folder, wanted, cohort=name) if cohort.labelled else []
        if labelled:
            # One process: a job of a launcher may be a worker itself, and a case takes a tenth of a second.
            convention = evaluated_convention(self.settings)
            score_cases(place.path, labelled, output=place.scores, convention=convention, workers=1)
            log.info("scores of %d cases: %s", len(labelled), place.scores)
        if len(labelled) < len(wanted):
            without = len(wanted) - len(labelled)
            log.warning("%d of %d cases of cohort %s have no label and no score", without, len(wanted), name)
        return len(labelled)


def add_variant(run: RunFolder, name: str, processes: Processes, *, target: Sequence[str] = ()) -> VariantFolder:
    """Make a variant of a finished run that it does not have yet.

    Args:
        run: its folder.
        name: of a variant that has been begun there, or of one in conf/variant.
        processes: where the network runs.
        target: cohorts whose images thresholds are found on; none: those that the run adapts to.

    Raises:
        PedsegError: the run is not finished or was imported, or the variant is unknown or does not fit the run.
        ProblemsError: some cases could not be predicted.
    """
    settings = read_settings(run.path)
    if not run.finished.exists():
        raise PedsegError(f"{run.path}: is not finished; give its command again to continue it")
    settings = _with_variant(settings, run, name, target)
    selection = select(settings)
    Trained(settings, run, evaluation_cases(settings, selection), selection, processes).make_variants()
    return run.variant(name)


def _with_variant(settings: RunSettings, run: RunFolder, name: str, target: Sequence[str]) -> RunSettings:
    """The settings of a run with one variant, and the one that it clears up, in place of its own."""
    how = run.variant(name).how()
    if how is not None and not how.rules:
        return settings.model_copy(update={"variant": {name: how}})
    how = how or conf_variant(name, settings.population)
    if target:
        how = how.model_copy(update={"target": tuple(target)})
    of = {how.of: run.variant(how.of).how() or conf_variant(how.of, settings.population)} if how.rules else {}
    variants = {key: one.as_json() for key, one in {**of, name: how}.items()}
    return RunSettings.of({**settings.as_json(), "variant": variants}, where=str(run.path))


def _check(place: VariantFolder, variant: Variant) -> None:
    before = place.how() if place.settings.exists() or place.finished.exists() else None
    was, now = (one.as_json() for one in (before or variant, variant))
    if was == now:
        return
    changed = [f"{key} was {was[key]}, now {now[key]}" for key in was if was[key] != now[key]]
    raise PedsegError(
        f"{place.path} holds variant {place.name} with other settings: {', '.join(changed)}; give the new one another "
        f"name ('+variant.NAME={{...}}'), or move the folder away"
    )
