"""Settings of cohorts and of what a run reads of them: the groups `data` and `paths`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict

from pedseg.errors import PedsegError
from pedseg.labels import CONVENTIONS, get_convention
from pedseg.settings.fields import INDIRECT, PLACE, Group, setting
from pedseg.settings.pair import ROLES
from pedseg.settings.values import Count, Flag, Folder, Index, Means, Name, Number, OrNone, Positive, Text, Whole

AUTO = "auto"
Part = Literal["fold", "all"]
LabelNames = Text | dict[str, Whole | tuple[Whole, ...]]


def _known_convention(value: Any) -> Any:  # noqa: ANN401  (a name or labels by tissue)
    try:
        return value if value == AUTO else get_convention(value) and value
    except PedsegError as error:
        raise ValueError(str(error)) from None


Convention = Annotated[
    Annotated[
        LabelNames,
        Means(
            f"{', '.join(CONVENTIONS)}, {AUTO}, or labels by tissue such as {{et: 3, nc: [1], ed: 2}}; with "
            "background: 4, labels of no tumour, and ignore: 5, labels that no loss and no score counts"
        ),
    ],
    AfterValidator(_known_convention),
]


def _no_role(value: str) -> str:
    if value in ROLES:
        raise ValueError("stands for a cohort of data.pair; give the cohort another name")
    return value


CohortName = Annotated[Name, AfterValidator(_no_role)]


class Cohort(Group):
    """A cohort of cases."""

    folder: Annotated[
        OrNone[Folder],
        setting(
            "Folder of its cases, in any layout of docs/layouts.md, or a table of them (.csv, .tsv, .json); null: "
            "paths.<name>, or PEDSEG_<NAME>.",
            PLACE,
        ),
    ] = None
    labelled: Annotated[Flag, setting("Whether it has labels; without, none is looked for, prepared or read.")] = True
    convention: Annotated[
        Convention, setting("Which voxel label stands for which tissue; auto: told from the labels.")
    ] = AUTO
    background: Annotated[
        OrNone[Number],
        setting("Value at or below which voxels of its images are background; null: those that are 0."),
    ] = None
    population: Annotated[
        OrNone[Text],
        setting("Statistics published of such patients: an option of population, a .yaml file; null: none.", INDIRECT),
    ] = None


class Pair(Group):
    """The cohorts that experiments speak of."""

    source: Annotated[Name, setting("Cohort that `source` stands for in data.source, .opposed and .evaluation.")]
    target: Annotated[
        OrNone[Name], setting("Cohort that `target` stands for there and in data.target; null: there is none.")
    ]


class Data(Group):
    """Cohorts, and what a run reads of them."""

    synthetic: Annotated[Flag, setting("Whether the images are synthetic, which every table and picture says then.")]
    store: Annotated[Folder, setting("Folder of the prepared cohorts.", PLACE)]
    spacing_mm: Annotated[
        OrNone[tuple[Positive, Positive, Positive]],
        setting("Voxel size (z, y, x) that cases are resampled to; null: that of each cohort.", unit="mm"),
    ]
    cohorts: Annotated[dict[CohortName, Cohort], setting("Cohorts by name.", min_length=1)]
    pair: Annotated[Pair, setting("The cohorts that experiments speak of.")]
    source: Annotated[
        dict[Name, OrNone[Part]],
        setting("Cohorts that train with labels: the training part of the fold, or all of it; null: it does not."),
    ]
    few: Annotated[
        dict[Name, Count],
        setting("Of cohorts of data.source, how many of these cases train: as chosen by data.draw; others: all."),
    ] = {}  # noqa: RUF012  (pydantic copies it)
    draw: Annotated[Whole, setting("Which choice of few cases; one choice holds every smaller one.", ge=0)] = 0
    target: Annotated[tuple[Name, ...], setting("Cohorts that train without labels: the training part of the fold.")]
    opposed: Annotated[
        tuple[Name, ...],
        setting("Cohorts of data.source that make the second half of a batch, for supervised controls alone."),
    ] = ()
    evaluation: Annotated[
        Name,
        setting("Cohort that is predicted and scored: what the fold holds out, or all if none of it trains."),
    ]
    patch_size: Annotated[tuple[Count, Count, Count], setting("Size (z, y, x) of a patch.", unit="voxels")]
    batch_size: Annotated[
        Whole, setting("Patches of a step in each process, of both sides together.", unit="patches", ge=1)
    ]
    augmentation: Annotated[Literal["nnunet", "none"], setting("How labelled patches are augmented.")]
    foreground_fraction: Annotated[
        Number, setting("Share of the labelled patches that are placed on tumour.", ge=0, le=1)
    ]
    drop_modality: Annotated[
        Number,
        setting(
            "Probability that a sequence of a training patch is left out, 0 in its channel, and never all of them: for "
            "networks that shall do without one.",
            ge=0,
            le=1,
        ),
    ] = 0.0
    num_workers: Annotated[
        Annotated[Literal["auto"] | Index, Means("auto, or a whole number of 0 or more")],
        setting("Processes that read patches; 0: the training process does.", PLACE, unit="processes"),
    ]

    @property
    def labelled_source(self) -> Mapping[str, Part]:
        """Cohorts that train with labels, and which part of each."""
        return {cohort: part for cohort, part in self.source.items() if part is not None}


class Paths(Group):
    """Where cohorts lie and runs go."""

    OTHERS = "Folder or table of the cohort of that name, or PEDSEG_<NAME>."
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Name, OrNone[Folder]]

    synthetic: Annotated[Folder, setting("Folder in which data/adult and data/ped of `pedseg phantom` lie.")] = Path()
    store: Annotated[Folder, setting("Folder of the prepared cohorts, or PEDSEG_STORE.")]
    runs: Annotated[Folder, setting("Folder of the runs, or PEDSEG_RUNS.")]
