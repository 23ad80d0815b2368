"""The validators by name, for command lines and tables; `pedseg.choosing.scores` computes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pedseg.files import read_json
from pedseg.settings.record import Digest, Line, Record, Sequenced

_DECLARED = (  # name, title, and what `pedseg validate --help` says of it; in the order of the tables
    ("source_dice", "source Dice", "the baseline"),
    ("entropy", "entropy", "Morerio 2018"),
    ("infomax", "InfoMax", "Krause 2010"),
    ("soft_dice", "soft-Dice confidence", "Dice of probabilities and the masks that they give, Borges 2024"),
    ("snd", "SND", "soft neighbourhood density, Saito 2021"),
    ("dev", "DEV", "importance-weighted source risk, You 2019"),
    ("flip_agreement", "flip agreement", "with the predictions of mirrored images"),
    (
        "checkpoint_agreement",
        "checkpoint agreement",
        "with the majority of the other runs given that were validated on the same cases",
    ),
    (
        "sizes",
        "published sizes",
        "closeness of the predicted ones to those of the target's population, worth as much as the target resembles it "
        "and flattered where it is the target",
    ),
    (
        "shares",
        "estimated shares",
        "closeness of the predicted TC/WT to what the network's own logits speak for (EM for label shift, Saerens "
        "2002), which a network that is calibrated to it has for nothing",
    ),
    ("probe_decoder", "probe, decoder", "a fresh linear classifier of the domains"),
    ("probe_bottleneck", "probe, bottleneck", "likewise"),
)
VALIDATORS: Mapping[str, str] = {name: title for name, title, _ in _DECLARED}
HELP = "; ".join(f"{title}: {text}" for _, title, text in _DECLARED)
DEFAULT = "sizes"
CASES = 20  # most cases of each domain that are measured


class ValidatedOn(Record):
    """On what a run was validated; further settings decide its scores."""

    model_config = ConfigDict(extra="allow")
    target: Annotated[tuple[Annotated[tuple[Line, Line], Sequenced], ...], Sequenced]


class Details(Record):
    """What the scores of a run rest on."""

    compared_with: Annotated[tuple[Line, ...], Sequenced] = ()
    core_share: Annotated[dict[Literal["estimated", "low", "high"], float], Field(min_length=3)] | None = None
    reliability: Annotated[tuple[dict[Line, str | float | None], ...], Sequenced] = ()


class ValidatorsRecord(Record):
    """What validators.json says."""

    checkpoint: Digest | None = None
    settings: ValidatedOn
    target_labels: bool
    synthetic: bool
    scores: dict[Line, float | None]
    control: dict[Line, float | None] = Field(default_factory=dict)
    details: Details = Details()


def read_validators(path: Path) -> dict[str, Any]:
    """What validators.json says of a run, of known form.

    Raises:
        PedsegError: it cannot be read, or says what no such file does.
    """
    content: Any = read_json(path)
    ValidatorsRecord.of(content, where=path, fix="remove it, and validate the run again")
    return dict(content)
