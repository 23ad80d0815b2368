"""What nnU-Net's dataset.json says about a network's input and output channels."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.records import DatasetFile
from pedseg.labels import Modality, Region

# Names in use, in small letters without signs; "tumour" and a leading "mr" or "mri" are put right first.
MODALITY_NAMES = {
    Modality.T1N: {"t1", "t1n", "t1w", "t1native", "t1wn", "t1pre"},
    Modality.T1C: {"t1c", "t1ce", "t1gd", "t1cgd", "t1wce", "t1wc", "t1wgd", "t1post", "t1ca", "t1contrast", "t1km"},
    Modality.T2W: {"t2", "t2w"},
    Modality.T2F: {"t2f", "flair", "t2flair", "t2wflair", "fl"},
}
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
    names = dataset.get("channel_names") or dataset.get("modality")
    if not isinstance(names, Mapping):
        raise PedsegError(f"{where}: has no channel_names; {HOW_TO_NAME} (such as T1, T1ce, T2, FLAIR)")
    try:
        ordered = [str(names[key]) for key in sorted(names, key=int)]
    except ValueError as error:
        raise PedsegError(f"{where}: channel_names {dict(names)} are not numbered from 0; {HOW_TO_NAME}") from error
    known = {modality.value: names for modality, names in MODALITY_NAMES.items()}
    return _positions(ordered, known, "channel", where=where)


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
    known = {region.value: names for region, names in REGION_NAMES.items()}
    order = _positions(list(values), known, "region", where=where)
    sets = [list(values.values())[position] for position in order]
    if not all(inner < outer for outer, inner in pairwise(sets)):
        described = ", ".join(f"{region} {sorted(labels)}" for region, labels in zip(Region, sets, strict=True))
        raise PedsegError(f"{where}: regions {described} do not lie in one another; {HOW_TO_NAME}")
    return order


def _positions(given: list[str], known: Mapping[str, set[str]], what: str, *, where: str) -> list[int]:
    """Index in `given` of each key of `known`, by its names."""
    plain = [_plain(name) for name in given]
    found = {key: [i for i, name in enumerate(plain) if name in names] for key, names in known.items()}
    if len(given) != len(known) or any(len(places) != 1 for places in found.values()):
        raise PedsegError(
            f"{where}: cannot tell {', '.join(known)} among its {len(given)} {what}s {', '.join(given)}; if they are "
            f"the same, {HOW_TO_NAME}"
        )
    return [places[0] for places in found.values()]


def _plain(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).replace("tumour", "tumor")
    return re.sub(r"^mri?(?=t[12]|fl)", "", plain)
