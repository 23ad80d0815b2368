"""What a prepared store says of itself: its index, and an entry for each case."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pedseg.settings.record import Digest, Edge, FileName, Line, Record, Sequenced, Spacing

Deviation = Annotated[float, Field(gt=0)]
Label = Annotated[int, Field(ge=0)]
Labels = Annotated[tuple[Label, ...], Sequenced]


Numeral = Annotated[str, Field(pattern=r"^\d{1,4}$")]  # a voxel label as a key
Evidence = Annotated[float, Field(allow_inf_nan=True)]
Remark = Annotated[tuple[str, str, str, Literal["problem", "warning", "note"]], Sequenced]


class StoredFile(Record):
    """A file as it was written."""

    size: Annotated[int, Field(ge=1)]
    sha256: Digest


class StoredConvention(Record):
    """Which voxel label stood for which tissue."""

    name: Line
    et: Labels
    nc: Labels
    ed: Labels
    background: Labels = ()
    ignore: Labels = ()


class Entry(Record):
    """What is known of a prepared case; ``files`` is empty where an older version has prepared it."""

    folder: FileName
    patient: Line
    shape: Annotated[tuple[Edge, Edge, Edge], Sequenced]
    spacing_mm: Spacing
    mean: Annotated[tuple[float, ...], Sequenced, Field(min_length=1)]
    std: Annotated[tuple[Deviation, ...], Sequenced, Field(min_length=1)]
    foreground_counts: Annotated[tuple[Label, ...], Sequenced]
    ignored_voxels: Label = 0
    files: dict[FileName, StoredFile] = Field(default_factory=dict)
    digests: Annotated[tuple[Line, ...], Sequenced] | None = None
    axes: Line = ""
    contrasts: dict[Line, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_of_its_channels(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("names means and deviations of different numbers of channels")
        return self


class Index(Record):
    """A prepared cohort."""

    cohort: FileName
    labelled: bool
    convention: StoredConvention | None
    input_folder: Annotated[str, Field(max_length=10_000)]
    cases: dict[FileName, Entry]


class PreparedEntry(Entry):
    """The same with what preparation knows a case by; ``digests`` and what goes with them are of this version."""

    key: Line
    evidence: dict[Literal["voxels", "enhancement"], dict[Numeral, Evidence]] | None
    remarks: Annotated[tuple[Remark, ...], Sequenced] = ()
