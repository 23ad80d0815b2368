"""What dataset.json says: which channel of a data set, or of a network, is which modality; and what is ignored."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pedseg.cases.spellings import accepted, role_of
from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.labels import Modality

_NUMBER = re.compile(r"[0-9]{1,5}")


def channel_names(dataset: Mapping[str, Any], *, where: str) -> list[str]:
    """Names of the channels in their order.

    Numbers by name, ``{"T1": 0}``, are understood as well as nnU-Net's names by number, ``{"0": "T1"}``.

    Args:
        dataset: content of a dataset.json of nnU-Net (``channel_names``) or of the Decathlon (``modality``).
        where: the file, as messages call it.

    Raises:
        PedsegError: it names no channels, or not each from 0 on.
    """
    names = dataset.get("channel_names") or dataset.get("modality")
    if not isinstance(names, Mapping):
        raise PedsegError(
            f"{where}: has no channel_names (nnU-Net) or modality (Decathlon); add the names of the channels, such as "
            '{"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}'
        )
    pairs = [(str(key), str(value)) for key, value in names.items()]
    if not all(_NUMBER.fullmatch(key) for key, _ in pairs):
        pairs = [(value, key) for key, value in pairs]
    numbered = {int(key): value for key, value in pairs if _NUMBER.fullmatch(key)}
    if sorted(numbered) != list(range(len(pairs))):
        raise PedsegError(f"{where}: the channels {dict(names)} are not numbered from 0; number them as the images are")
    return [numbered[number] for number in range(len(pairs))]


def channels_by_modality(names: list[str]) -> dict[Modality, list[int]]:
    """Channels whose name is one of a modality's spellings; others belong to none."""
    roles = [role_of(name) for name in names]
    return {modality: [number for number, role in enumerate(roles) if role == modality] for modality in Modality}


def read_channels(path: Path, *, allow_missing: bool = False) -> dict[Modality, int]:
    """Read from a dataset.json which channel each modality is; further channels are allowed.

    Args:
        path: the file.
        allow_missing: whether modalities may be absent, as long as one is there.

    Raises:
        PedsegError: the file is unreadable or does not name each modality exactly once.
    """
    content = read_json(path)
    names = channel_names(content if isinstance(content, dict) else {}, where=str(path))
    channels = channels_by_modality(names)
    if allow_missing:
        channels = {modality: found for modality, found in channels.items() if found}
    if not channels or any(len(found) != 1 for found in channels.values()):
        raise PedsegError(
            f"{path}: the channels {dict(enumerate(names))} do not name each modality exactly once, so no image can be "
            f"told; name them by one of these spellings each: {accepted()} …"
        )
    return {modality: found[0] for modality, found in channels.items()}


def read_ignored(path: Path) -> set[int]:
    """Read from a dataset.json which voxel label nnU-Net ignores, if it names one.

    Raises:
        PedsegError: the file is unreadable, or that is no label.
    """
    content = read_json(path)
    labels = content.get("labels") if isinstance(content, dict) else None
    ignored = labels.get("ignore") if isinstance(labels, dict) else None
    if ignored is not None and (not isinstance(ignored, int) or isinstance(ignored, bool) or ignored < 1):
        raise PedsegError(f"{path}: the label to ignore, {ignored!r}, is no whole number above 0; correct it")
    return set() if ignored is None else {ignored}
