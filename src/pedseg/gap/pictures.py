"""Pictures of the benchmark, and their captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pedseg.data import CohortStore, StoredCase
from pedseg.errors import PedsegError
from pedseg.gap.benchmark import LOWER, UPPER, Benchmark
from pedseg.gap.choice import Choice
from pedseg.gap.embedding import WINDOWS, embed, stage_features
from pedseg.gap.embedding_figure import embedding_data, embedding_figure
from pedseg.gap.figure import gap_data, gap_figure
from pedseg.gap.roles import Entry, Role
from pedseg.gap.rows import Row
from pedseg.inference import Predictor
from pedseg.pages.document import Picture
from pedseg.reporting.figures.curves import draw_curves_of
from pedseg.reporting.figures.pictures import file_name
from pedseg.reporting.figures.style import save
from pedseg.reporting.rows import Model, marked
from pedseg.runs import RunFolder
from pedseg.settings.run import RunSettings

PAPER = "uda"


@dataclass(frozen=True, slots=True)
class Domains:
    """Cases whose features are compared.

    Attributes:
        store: of the prepared cohorts.
        source: cohort and id of adults that the runs of the fold validate on.
        target: cohort and id of test children.
    """

    store: Path
    source: Sequence[tuple[str, str]]
    target: Sequence[tuple[str, str]]

    def open(self, cases: Sequence[tuple[str, str]]) -> Iterator[StoredCase]:
        """Open cases of either domain."""
        stores = {cohort: CohortStore(self.store / cohort) for cohort, _ in cases}
        return (stores[cohort].open(case) for cohort, case in cases)


def draw_gap(rows: Sequence[Row], benchmark: Benchmark, folder: Path) -> Picture:
    """Draw the models between the bounds."""
    text = (
        f"Dice of TC and WT of every model with its 95 % interval, {len(benchmark.cases)} cases, "
        f"{len(benchmark.seeds)} seeds; dashed: 1* and 3*."
    )
    figure = gap_figure(rows, title=_title(benchmark, "Models between the bounds"))
    return save(figure, folder / "gap", caption=_title(benchmark, text), data=gap_data(rows))


def draw_curves(benchmark: Benchmark, folder: Path) -> Iterator[Picture]:
    """Draw the training curves of every adapting model, of the first seed it has.

    Raises:
        PedsegError: metrics.csv of a run cannot be read.
    """
    for entry in benchmark.entries:
        seed, model = next(iter(entry.models.items()))
        for run in model.runs if entry.adapts and entry.plain else ():
            if run.metrics.exists():
                name = f"curves_{file_name(Model(entry.name, model.scores))}_{run.path.resolve().name}"
                yield draw_curves_of(run, folder / name, title=_title(benchmark, f"{entry.name}, seed {seed}"))


def models_to_embed(rows: Sequence[Row], choices: Sequence[Choice], *, validator: str) -> list[Row]:
    """1*, the paper's model, the method that the validator chooses (else the best by labels), and 3*."""
    methods = [row for row in rows if row.entry.role is Role.METHOD]
    chosen = [row for c in choices if c.validator == validator for row in c.rows if row in methods]
    best = sorted(methods, key=lambda row: -row.gap["tc"].value)
    wanted = [row for row in rows if row.entry.bound == LOWER]
    wanted += [row for row in methods if row.entry.name == PAPER]
    wanted += [row for row in (chosen or best) if row not in wanted][:1]
    return [*wanted, *(row for row in rows if row.entry.bound == UPPER)]


def draw_embedding(
    rows: Sequence[Row], benchmark: Benchmark, domains: Domains, path: Path, *, device: torch.device
) -> Picture:
    """Draw the features of both domains in the models of the rows, of the first seed that each has.

    Raises:
        PedsegError: a checkpoint or a case is absent or damaged, or a domain has fewer than two cases.
    """
    embeddings = []
    for row in rows:
        predictor = Predictor([first_run(row.entry).checkpoint], device=device)
        source, target = (stage_features(predictor, domains.open(c)) for c in (domains.source, domains.target))
        embeddings.append(embed(row.entry.title, source, target))
    title = _title(benchmark, "Features at the second-highest decoder stage")
    caption = (
        f"Features of {len(domains.source)} source cases that the runs validate on and {len(domains.target)} "
        "test cases of the target at the second-highest decoder stage, which the paper's domain classifier reads: "
        f"means over the brain voxels of {WINDOWS} windows of a case, before any adaptation to it, first two principal "
        "components, in units of the standard deviation within a domain. "
        "Probe: balanced accuracy of a fresh linear classifier of the "
        "domains on all channels, cross-validated by case (0.5: chance)."
    )
    data = embedding_data(embeddings)
    return save(embedding_figure(embeddings, title=title), path, caption=_title(benchmark, caption), data=data)


def settings_with_held_out_source(rows: Sequence[Row]) -> RunSettings:
    """Settings of a run without labels of children that holds adults out: it says which cases are looked at.

    Raises:
        PedsegError: every such run is trained on all adults.
    """
    for row in rows:
        settings = row.entry.settings
        usable = row.competes or row.entry.bound == LOWER
        if usable and settings.fold != "all" and "fold" in settings.data.source.values():
            return settings
    raise PedsegError(
        "every run is trained on all adults, so that none is held out; train one with data.source.adult=fold"
    )


def first_run(entry: Entry) -> RunFolder:
    """Run of the first seed that a model has."""
    return next(iter(entry.models.values())).runs[0]


def _title(benchmark: Benchmark, text: str) -> str:
    return marked(list(benchmark.lower.models.values()), text)
