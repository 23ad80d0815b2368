"""What nnU-Net's dataset.json says about a network's input and output channels."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pedseg.cases.channels import channel_names, channels_by_modality
from pedseg.errors import PedsegError
from pedseg.interop.nnunet.records import DatasetFile
from pedseg.labels import Region

# Names in use, in small letters without signs; "tumour" is put right first.
REGION_NAMES = {
    Region.WT: {"wholetumor", "wt", "whole"},
    Region.TC: {"tumorcore", "tc", "core"},
    Region.ET: {"enhancingtumor", "et", "enhancing", "enhancingcore", "activetumor"},
}
HOW_TO_NAME = "copy plans.json and dataset.json to a folder, put the names right there and give --plans"


def channel_order(dataset: Mapping[str, Any], *, where: str) -> list[int]:
    """Position, among the network's input channels, of each `Modality`.

    Raises:
        PedsegError: the channels are not the four modalities, or their names do not tell which is which.
    """
    DatasetFile.of(dataset, where=where, fix="give the dataset.json that nnU-Net trained with")
    try:
        names = channel_names(dataset, where=where)
    except PedsegError as error:
        raise PedsegError(f"{error}, or {HOW_TO_NAME}") from None
    return _positions(names, channels_by_modality(names), "channel", where=where)


def region_order(dataset: Mapping[str, Any], *, where: str) -> list[int]:
    """Position, among the network's output channels, of each `Region`.

    Raises:
        PedsegError: the network was trained on labels instead of regions, or its regions are not WT, TC and ET, each
            within the one before.
    """
    labels = dataset.get("labels")
    if not isinstance(labels, Mapping):
        raise PedsegError(f"{where}: has no labels; give the dataset.json that nnU-Net trained with")
    try:
        values = {
            str(name): frozenset(map(int, value if isinstance(value, list | tuple) else [value]))
            for name, value in labels.items()
            if name != "ignore"
        }
    except (TypeError, ValueError) as error:
        raise PedsegError(f"{where}: labels {dict(labels)} are no whole numbers; {HOW_TO_NAME}") from error
    values = {name: value for name, value in values.items() if value != {0}}
    if not any(len(value) > 1 for value in values.values()):  # nnU-Net's own test
        raise PedsegError(
            f"{where}: the network predicts one label per voxel ({', '.join(values)}), by a softmax; pedseg needs the "
            "overlapping regions whole tumor, tumor core and enhancing tumor. Train nnU-Net with these as regions "
            "(labels given as lists, regions_class_order), or use its label maps with `pedseg evaluate`"
        )
    plain = [_plain(name) for name in values]
    found = {region: [i for i, name in enumerate(plain) if name in known] for region, known in REGION_NAMES.items()}
    order = _positions(list(values), found, "region", where=where)
    sets = [list(values.values())[position] for position in order]
    if not all(inner < outer for outer, inner in pairwise(sets)):
        described = ", ".join(f"{region} {sorted(labels)}" for region, labels in zip(Region, sets, strict=True))
        raise PedsegError(f"{where}: regions {described} do not lie in one another; {HOW_TO_NAME}")
    return order


def _positions(given: list[str], found: Mapping[Any, list[int]], what: str, *, where: str) -> list[int]:
    """The one index in `given` of each key of `found`."""
    if len(given) != len(found) or any(len(places) != 1 for places in found.values()):
        raise PedsegError(
            f"{where}: cannot tell {', '.join(found)} among its {len(given)} {what}s {', '.join(given)}; if they are "
            f"the same, {HOW_TO_NAME}"
        )
    return [places[0] for places in found.values()]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).replace("tumour", "tumor")
