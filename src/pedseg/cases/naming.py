"""What file names say: the case, and the modality or label that a file holds (its role)."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from pedseg.cases.spellings import AUTOMATED, LABEL, role_of
from pedseg.labels import Modality

LABEL_FOLDERS: Final = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}
LAYOUTS: Final = """The layouts understood are
  BraTS up to 2021   <case>_t1, <case>_t1ce, <case>_t2, <case>_flair, <case>_seg (.nii or .nii.gz)
  BraTS 2023 and on  <case>-t1n, <case>-t1c, <case>-t2w, <case>-t2f, <case>-seg, in a folder per case or side by side
  bare names         T1.nii.gz, T1CE.nii.gz, T2.nii.gz, FLAIR.nii.gz, seg.nii.gz in a folder per case
  BIDS               sub-<patient>/[ses-<session>/]anat/*_ce-gadolinium_T1w.nii.gz and so on, masks in derivatives/
  nnU-Net raw        dataset.json, imagesTr/<case>_0000.nii.gz and so on, labelsTr/<case>.nii.gz
  Decathlon          dataset.json, imagesTr/<case>.nii.gz with four dimensions, labelsTr/<case>.nii.gz
For all others give a table in place of the folder: cases.csv with the columns case, t1n, t1c, t2w, t2f and label"""

_ROLES = (*Modality, LABEL)
_OFFICIAL = {  # how names end: of BraTS up to 2021 ("_"), of BraTS 2023 and on ("-"), of BIDS
    "_": dict(zip(_ROLES, ("t1", "t1ce", "t2", "flair", "seg"), strict=True)),
    "-": dict(zip(_ROLES, ("t1n", "t1c", "t2w", "t2f", "seg"), strict=True)),
    "bids": dict(zip(_ROLES, ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR", "dseg"), strict=True)),
}
_NUMBERED = re.compile(r"(.+)_(\d{4})")
_BRAIN = re.compile(r"(?<=[^-_])[-_]brain$", re.IGNORECASE)  # of skull-stripped images
_LONGEST = 4  # words that a role has, as in T1_weighted_post_contrast
_COPY = re.compile(  # what browsers, desktops and clouds write into the names of second copies
    r"(?P<stem>.+?)"
    r"(?:[ _]?\(\d+\)| ?- ?(?:copy|kopie|copie|copia)(?: ?\(\d+\))?|[ _](?:copy|kopie)[ _]?\d*| \d{1,2}"
    r"|[ _]?\([^()]*(?:conflict|konflikt|conflit|conflic)[^()]*\))",
    re.IGNORECASE,
)
_PREFIXED = re.compile(r"(?:copy of|kopie von) (?P<stem>.+)", re.IGNORECASE)
_COPIED_ENDING = re.compile(r"(.+)\.nii ?\(\d+\)(\.gz)", re.IGNORECASE)
# Words between a case and a role, or in BIDS entities: what is known of the segmentation.
AUTOMATIC = frozenset({"automated", "automatic", "auto", "approx", "approximate"})
OF_A_TUMOUR = frozenset({"tumor", "tumour", "brats", "glioma", "gbm", "lesion"})
CORRECTED = frozenset({"manual", "corrected", "expert", "final", "gt"})
ANATOMY = frozenset({"brain", "parenchyma", "skull", "head", "tissue", "ventricle", "gm", "wm", "csf", "aseg", "aparc"})
_AUTOMATIC = re.compile(rf"(?<=[^-_])([-_](?:{'|'.join(sorted(AUTOMATIC))}))+$", re.IGNORECASE)
_BIDS_LABELS = ("dseg", "mask", "roi", "seg")
_CONTRAST = re.compile(r"ce|gad|gd|post|contrast|c\+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """What the name of a file says.

    Attributes:
        case: id; empty where the name is that of a role alone, and the folder's is the case's.
        role: modality or label.
        decorated: the id with what stands between it and the role, such as ``brain`` of skull-stripped images.
        copy: whether the name is that of a second copy, as browsers and desktops make.
        adopted: whether the case is that of the folder, and the name says another.
    """

    case: str
    role: str
    decorated: str = ""
    copy: bool = False
    adopted: bool = False


def composed(text: str) -> str:
    """Text in Unicode's composed form (NFC): file systems hand out one name in two spellings."""
    return unicodedata.normalize("NFC", text)


def nifti_stem(name: str) -> str | None:
    """Return the name of a NIfTI file without its ending; None for other files."""
    for ending in (".nii.gz", ".nii"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    match = _COPIED_ENDING.fullmatch(name)
    return f"{match[1]} (1)" if match else None


@lru_cache(maxsize=4096)
def read_name(stem: str) -> Name | None:
    """Tell case and role from a name without its ending; None where there is no role in it.

    ``<case>_<role>`` and ``<case>-<role>`` are understood with the spellings of `SPELLINGS`, whose words may be parted,
    as in ``T2_FLAIR``; a role alone; and the names of BIDS. Ids are in Unicode's composed form.
    """
    stem = composed(stem)
    first = _PREFIXED.fullmatch(stem)
    found = None if first else _read_bids(stem) or _read_words(stem)
    if found is None and (match := first or _COPY.fullmatch(stem)):
        original = _read_bids(match["stem"]) or _read_words(match["stem"])
        return original and replace(original, copy=True)
    return found


def _read_words(stem: str) -> Name | None:
    words = re.split(r"([-_])", stem)
    for count in range(_LONGEST, 0, -1):
        start = len(words) - 2 * count + 1
        role = role_of("".join(words[start:])) if start >= 0 and "" not in words[start::2] else None
        if role and start == 0:
            return Name("", role)
        case = "".join(words[: start - 1]) if start > 1 else ""
        if role and case:
            return _read_segmentation(case) if role == LABEL else Name(_BRAIN.sub("", case), role, decorated=case)
    return None


def _read_segmentation(case: str) -> Name | None:
    """As `read_name`, given what precedes the role: words that only say what was segmented are no id."""
    words = set(re.split(r"[-_]", case.lower()))
    if words <= ANATOMY:
        return None
    if words <= OF_A_TUMOUR | CORRECTED | AUTOMATIC:
        return Name("", AUTOMATED if words & AUTOMATIC else LABEL)
    return Name(case, LABEL, decorated=case)


def _read_bids(stem: str) -> Name | None:
    """As `read_name`, of ``sub-01[_ses-02][_ce-gadolinium][_...]_T1w``."""
    first, *middle = stem.split("_")
    if not re.fullmatch(r"sub-[^-]+", first) or not middle:
        return None
    suffix = middle.pop()
    entities = dict(part.split("-", 1) for part in middle if "-" in part)
    case = "_".join([first, *(part for part in middle if part.startswith("ses-"))])
    if suffix.startswith("label-"):  # of a mask whose suffix was forgotten
        entities["label"], suffix = suffix.removeprefix("label-"), "mask"
    elif len(entities) < len(middle):
        return None
    role = _bids_label(entities) if suffix.lower() in _BIDS_LABELS else role_of(suffix)
    agent = "ce" in entities or _CONTRAST.search(entities.get("acq", "") + entities.get("desc", ""))
    return Name(case, Modality.T1C if role == Modality.T1N and agent else role) if role else None


def _bids_label(entities: Mapping[str, str]) -> str | None:
    """Role of a mask or segmentation: whose it is, ``desc-`` and ``label-`` say; one that says nothing is a label."""
    text = " ".join(entities.get(key, "").lower() for key in ("label", "desc", "seg"))
    known = any(word in text for word in (*OF_A_TUMOUR, *AUTOMATIC, *CORRECTED))
    if text.strip() and (not known or any(word in text for word in ANATOMY)):
        return None
    return AUTOMATED if any(word in text for word in AUTOMATIC) else LABEL


def says_automatic(name: str) -> bool:
    """Whether a name has a word that says that nobody has corrected a segmentation."""
    return not AUTOMATIC.isdisjoint(re.split(r"[-_ .]", name.lower()))


def without_automatic(case: str) -> str:
    """An id of a segmentation without words at its end that say that nobody has corrected it."""
    return _AUTOMATIC.sub("", case)


def split_numbered_name(stem: str) -> tuple[str, int] | None:
    """Split nnU-Net's ``<case>_0002`` into case and channel; None for other names."""
    match = _NUMBERED.fullmatch(stem)
    return (match[1], int(match[2])) if match else None


def official_name(case: str, role: str, *, sibling: str) -> str:
    """Name of the file of `role`, in the naming that `sibling`, a file of the same case, is in."""
    sibling = composed(sibling)
    if not sibling.startswith(case):
        return f"{_OFFICIAL['_'][role]}.nii.gz"
    bids = sibling.startswith("sub-") and _read_bids(nifti_stem(sibling) or "")
    separator = "-" if sibling[len(case) :].startswith("-") else "_"
    return f"{case}{separator}{_OFFICIAL['bids' if bids else separator][role]}.nii.gz"


def is_label_name(name: str, stem: str | None) -> bool:
    """Whether a file or folder of this name (and NIfTI `stem`) holds labels."""
    said = None if stem is None else read_name(stem)
    return name in LABEL_FOLDERS.values() or (said is not None and said.role in (LABEL, AUTOMATED))
