"""Whether images and labels can be used."""

from pedseg.imaging.integrity.case import CaseCheck, CaseImages, check_case, read_checked
from pedseg.imaging.integrity.contrast import ALONE, FIX, PAIRS, told
from pedseg.imaging.integrity.grids import read_label_onto, read_onto

__all__ = [
    "ALONE",
    "FIX",
    "PAIRS",
    "CaseCheck",
    "CaseImages",
    "check_case",
    "read_checked",
    "read_label_onto",
    "read_onto",
    "told",
]
