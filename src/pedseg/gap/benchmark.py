"""Runs of the benchmark by model and seed, and the part that each model plays in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.errors import PedsegError
from pedseg.gap.roles import Entry, Role, children_of, role_of, settings_of
from pedseg.reporting.paper import EXPERIMENTS
from pedseg.reporting.rows import Model, load_models
from pedseg.reporting.sizes import sizes_of
from pedseg.reporting.strata import strata_of
from pedseg.runs import BETWEEN

# Experiments that may stand for each bound, the first one that most seeds have. 1* sees the adults that an adapting
# run of the fold sees; of all adults none is held out for its source validation Dice.
BOUNDS: Mapping[str, tuple[str, ...]] = {
    "1*": ("m1_adult_fold", "m1_adult_nods"),
    "2*": ("m2_ped_nods",),
    "3*": ("m3_mixed_nods",),
}
LOWER, UPPER = "1*", "3*"
SEED_FOLDER = re.compile(r"seed_(\d+)$")
SEED_OVERRIDE = re.compile(r"(?<=[/,])seed=\d+(,|$)")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was found.

    Attributes:
        entries: in the order of the rows.
        cases: ids of the test cases, the same for all.
        folders: of the runs of each seed, in the order of the seeds.
        notes: sentences on what is missing.
        strata: test cases with and without oedema, of those whose size is known.
        few: models that have seen labels of a few children, to tell what labels are worth.
    """

    entries: Sequence[Entry]
    cases: tuple[str, ...]
    folders: Mapping[int, Path]
    notes: Sequence[str] = field(default=())
    strata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    few: Sequence[Entry] = field(default=())

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of any run."""
        return tuple(self.folders)

    @property
    def lower(self) -> Entry:
        """1*."""
        return next(entry for entry in self.entries if entry.bound == LOWER)

    @property
    def upper(self) -> Entry:
        """3*."""
        return next(entry for entry in self.entries if entry.bound == UPPER)

    @property
    def synthetic(self) -> bool:
        """Whether the data of any run are synthetic."""
        return any(model.synthetic for entry in self.entries for model in entry.models.values())

    @property
    def definition(self) -> str:
        """Name of the definition of the metrics."""
        return next(iter(self.lower.models.values())).definition


def load_benchmark(folder: Path) -> Benchmark:
    """Find every scored run below ``<folder>/seed_<s>/<experiment>/fold_<k>/``.

    Raises:
        PedsegError: there is no such run; a bound is missing; a run has no config.json; or runs differ in their test
            cases, in the definition of their metrics or in nothing but the name of their seed's folder.
    """
    places = find_seeds(folder)
    found, notes = _load(places)
    if not found:
        raise PedsegError(
            f"{folder}: no scored run, seed_<s>/<experiment>/fold_<k>, in it; run the benchmark first: make benchmark"
        )
    folders = {seed: places[seed] for seed in places if any(seed in models for models in found.values())}
    first = next(iter(folders.values()))
    chosen = {bound: max(names, key=lambda name: len(found.get(name, {}))) for bound, names in BOUNDS.items()}
    for bound in (LOWER, UPPER):
        if not found.get(chosen[bound]):
            raise PedsegError(f"{folder}: {bound} is missing, without which there is no gap; {_command(first, bound)}")
    if chosen["2*"] not in found:
        notes.append(f"2* has not been scored; {_command(first, '2*')}.")
    if chosen[LOWER] != BOUNDS[LOWER][0]:
        notes.append(f"1* is {chosen[LOWER]}, of all adults, so that none is held out for its source Dice.")
    cohorts = children_of(found[chosen[LOWER]], found.values())
    bound_of = {name: bound for bound, name in chosen.items()}
    entries = [
        Entry(name, Role.BOUND if name in bound_of else role_of(models, cohorts), models, bound_of.get(name, ""))
        for name, models in found.items()
    ]
    entries.sort(key=lambda e: (list(Role).index(e.role), e.bound, e.name.casefold()))
    for entry in entries:
        absent = [str(seed) for seed in folders if seed not in entry.models]
        notes += [f"{entry.title} has not been scored with seed {', '.join(absent)}."] if absent else []
    cases = _common_cases(entries)
    few = [entry for entry in entries if entry.few]
    entries = [entry for entry in entries if not entry.few]
    sizes = sizes_of([model for entry in entries if entry.bound == LOWER for model in entry.models.values()])
    return Benchmark(entries, cases, folders, notes, strata_of(sizes, cases), few)


def find_seeds(folder: Path) -> dict[int, Path]:
    """Folders ``seed_<s>`` in a folder, in the order of the seeds."""
    matches = ((SEED_FOLDER.match(path.name), path) for path in folder.glob("seed_*") if path.is_dir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def _load(places: Mapping[int, Path]) -> tuple[dict[str, dict[int, Model]], list[str]]:
    """Models by name and seed, and what was passed over."""
    found: dict[str, dict[int, Model]] = {}
    notes = []
    for seed, place in places.items():
        if not any(place.rglob("scores.csv")):
            notes.append(f"No run of seed {seed} has been scored yet.")
            continue
        for model in load_models([place]):
            name = experiment_of(model.name)
            settings_of(model)
            if seed in found.setdefault(name, {}):
                raise PedsegError(f"{place}: holds {name} twice; move one of its folders away")
            found[name][seed] = model
    for name, models in found.items():
        _check_seeds(name, models)
    return found, notes


def experiment_of(name: str) -> str:
    """Experiment, and variant, of a model of `load_models`: ``UDA`` and ``uda/seed=1`` give ``uda``."""
    run, between, variant = name.partition(BETWEEN)
    run = SEED_OVERRIDE.sub("", run).rstrip("/,")
    return {paper: experiment for experiment, paper in EXPERIMENTS.items()}.get(run, run) + between + variant


def _check_seeds(name: str, models: Mapping[int, Model]) -> None:
    """Refuse the same run in two folders, which would pass for an independent one."""
    owners: dict[object, int] = {}
    for folder, model in models.items():
        seed = settings_of(model).seed
        if seed in owners:
            raise PedsegError(
                f"{name} in seed_{folder} and in seed_{owners[seed]} was trained with the same seed, {seed}; train it "
                "again with another, or move one of them away"
            )
        owners[seed] = folder


def _common_cases(entries: Sequence[Entry]) -> tuple[str, ...]:
    expected = next(iter(next(e for e in entries if e.bound == LOWER).models.values()))
    for entry in entries:
        for seed, model in entry.models.items():
            if model.cases != expected.cases:
                raise PedsegError(
                    f"{entry.name} of seed {seed} is scored on {len(model.cases)} cases that are not the "
                    f"{len(expected.cases)} of 1*; finish the run, or evaluate the same cohort (data.evaluation)"
                )
            if model.definition != expected.definition:
                raise PedsegError(
                    f"{entry.name} of seed {seed} is scored by {model.definition} and 1* by {expected.definition}; "
                    "score both by one: pedseg evaluate --definition"
                )
    return tuple(sorted(expected.cases))


def _command(place: Path, bound: str) -> str:
    """How a bound is made."""
    seed = place.name.removeprefix("seed_")
    return (
        f"train it on the cohorts of the others (their scale=): pedseg train experiment={BOUNDS[bound][0]} "
        f"seed={int(seed)} paths.runs={place}"
    )
