"""The one table of how modalities and labels are spelt, in file names and in the names of channels and columns."""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Final

from pedseg.labels import Modality

LABEL: Final = "label"  # the role of a label file
AUTOMATED: Final = "automated label"  # of one that nobody has corrected
# All other roles are modalities.

_T1, _T2 = ("t1", "t1w", "t1weighted"), ("t2", "t2w", "t2weighted")
_NATIVE = ("n", "", "pre", "native", "plain", "precontrast", "noncontrast")
_AGENTS = (
    *("c", "ce", "gd", "gad", "gadolinium", "post", "contrast", "postcontrast", "contrastenhanced", "enhanced"),
    *("cgd", "ca", "km", "withcontrast", "postgd", "postgad", "postgadolinium"),
)


def _each(stems: Iterable[str], endings: Iterable[str]) -> tuple[str, ...]:
    return tuple(stem + ending for stem, ending in product(stems, endings))


SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {  # small letters and digits only
    Modality.T1N: _each(_T1, _NATIVE),
    Modality.T1C: (*_each(_T1, _AGENTS), "ct1", "ct1w", "cet1", "cet1w"),
    Modality.T2W: ("t2w", "t2", "t2weighted"),
    Modality.T2F: ("t2f", "flair", *_each(_T2, ("flair",)), "t2fl", "flairt2", "fl", "fla"),
    LABEL: (
        *("seg", "segm", "segmentation", "segmentations", "segmask", "label", "gt"),
        *("tumorseg", "tumorsegmentation", "tumormask", "tumorlabel", "tumor", "maskseg"),
        "glistrboostmanuallycorrected",  # of BraTS-TCGA
    ),
    AUTOMATED: ("glistrboost",),
}
_ROLE_OF = {spelling: role for role, spellings in SPELLINGS.items() for spelling in spellings}
_SHOWN = 6  # spellings that a message names


def role_of(name: str) -> str | None:
    """Modality, or `LABEL`, that a name stands for, such as ``T1-weighted, post contrast``; None for other names.

    Signs and the case of letters do not count, nor does "MR" or "MRI" in front.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).replace("tumour", "tumor")
    return _ROLE_OF.get(plain) or _ROLE_OF.get(re.sub(r"^mri?(?=c?t[12]|fl)", "", plain))


def accepted() -> str:
    """Spellings of each modality, for messages."""
    return "; ".join(f"{modality} {', '.join(SPELLINGS[modality][:_SHOWN])}" for modality in Modality)
