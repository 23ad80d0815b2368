"""Cases: what they are, and how they are found in the folder layouts of BraTS, the Decathlon and nnU-Net."""

from pedseg.cases.case import Case, Discovery, ImageFile, patient_of
from pedseg.cases.discovery import find_cases

__all__ = ["Case", "Discovery", "ImageFile", "find_cases", "patient_of"]
