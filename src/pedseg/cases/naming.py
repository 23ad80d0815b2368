"""What file names and channel names say: the case, and the modality or label a file holds (its role)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.labels import Modality

LABEL: Final = "label"  # the role of a label file; all other roles are modalities
LABEL_FOLDERS: Final = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}
LAYOUTS: Final = """The layouts understood are
  BraTS up to 2021   <case>_t1, <case>_t1ce, <case>_t2, <case>_flair, <case>_seg (.nii or .nii.gz)
  BraTS 2023 and on  <case>-t1n, <case>-t1c, <case>-t2w, <case>-t2f, <case>-seg, in a folder per case or side by side
  nnU-Net raw        dataset.json, imagesTr/<case>_0000.nii.gz and so on, labelsTr/<case>.nii.gz
  Decathlon          dataset.json, imagesTr/<case>.nii.gz with four dimensions, labelsTr/<case>.nii.gz"""

SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {  # lower case, letters and digits only
    Modality.T1N: ("t1n", "t1", "t1w", "t1pre", "t1native"),
    Modality.T1C: ("t1c", "t1ce", "t1gd", "t1wce", "t1wgd", "t1post", "t1contrast", "t1postcontrast"),
    Modality.T2W: ("t2w", "t2"),
    Modality.T2F: ("t2f", "flair", "t2flair", "t2wflair"),
    LABEL: ("seg", "segm", "segmentation", "tumorseg", "tumorsegmentation"),
}
_ROLE_OF = {spelling: role for role, spellings in SPELLINGS.items() for spelling in spellings}
_OFFICIAL = {  # how BraTS up to 2021 ("_") and BraTS 2023 and on ("-") end the names of their files
    "_": dict(zip(SPELLINGS, ("t1", "t1ce", "t2", "flair", "seg"), strict=True)),
    "-": dict(zip(SPELLINGS, ("t1n", "t1c", "t2w", "t2f", "seg"), strict=True)),
}
_LAST_PART = re.compile(r"(.+)[-_]([^-_]+)")
_NUMBERED = re.compile(r"(.+)_(\d{4})")


def nifti_stem(name: str) -> str | None:
    """Return the name of a NIfTI file without its ending; None for other files."""
    for ending in (".nii.gz", ".nii"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return None


def split_brats_name(stem: str) -> tuple[str, str] | None:
    """Split ``<case>_<role>`` or ``<case>-<role>`` into case and role; None for other names.

    The role may be in two parts, as in ``T2_FLAIR``.
    """
    match = _LAST_PART.fullmatch(stem)
    if match is None:
        return None
    case, ending = match.groups()
    longer = _LAST_PART.fullmatch(case)
    if longer and (role := _ROLE_OF.get(f"{longer[2]}{ending}".lower())):
        return longer[1], role
    role = _ROLE_OF.get(ending.lower())
    return (case, role) if role else None


def split_numbered_name(stem: str) -> tuple[str, int] | None:
    """Split nnU-Net's ``<case>_0002`` into case and channel; None for other names."""
    match = _NUMBERED.fullmatch(stem)
    return (match[1], int(match[2])) if match else None


def official_name(case: str, role: str, *, sibling: str) -> str:
    """Name that BraTS gives to the file of `role`, in the naming that `sibling`, a file of the same case, is in."""
    return f"{case}{sibling[len(case)]}{_OFFICIAL[sibling[len(case)]][role]}.nii.gz"


def is_label_name(name: str, stem: str | None) -> bool:
    """Whether a file or folder of this name (and NIfTI `stem`) holds labels."""
    parts = None if stem is None else split_brats_name(stem)
    return name in LABEL_FOLDERS.values() or (parts is not None and parts[1] == LABEL)


def read_channels(path: Path, *, allow_missing: bool = False) -> dict[Modality, int]:
    """Read from a dataset.json which channel each modality is; further channels are allowed.

    Args:
        path: the file.
        allow_missing: whether modalities may be absent, as long as one is there.

    Raises:
        PedsegError: the file is unreadable or does not name each modality exactly once.
    """
    content = read_json(path)
    names = (content.get("channel_names") or content.get("modality")) if isinstance(content, dict) else None
    if not isinstance(names, dict):
        raise PedsegError(
            f"{path}: no 'channel_names' (nnU-Net) or 'modality' (Decathlon); add the names of the channels"
        )
    roles = {key: _ROLE_OF.get(re.sub("[^a-z0-9]", "", str(name).lower())) for key, name in names.items()}
    channels = {m: [int(key) for key, role in roles.items() if role == m and key.isdigit()] for m in Modality}
    if allow_missing:
        channels = {modality: found for modality, found in channels.items() if found}
    if not channels or any(len(found) != 1 for found in channels.values()):
        accepted = "; ".join(f"{modality} {', '.join(SPELLINGS[modality])}" for modality in Modality)
        raise PedsegError(
            f"{path}: the channels {names} do not name each modality exactly once, so no image can be told; name them "
            f"by one of these spellings each: {accepted}"
        )
    return {modality: found[0] for modality, found in channels.items()}
