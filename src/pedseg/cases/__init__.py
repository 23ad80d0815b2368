"""Cases: what they are, and how they are found in the folder layouts of BraTS, the Decathlon and nnU-Net."""

from pedseg.cases.case import Case, Discovery, ImageFile
from pedseg.cases.discovery import find_cases
from pedseg.cases.patients import Patients, patient_of

__all__ = ["Case", "Discovery", "ImageFile", "Patients", "find_cases", "patient_of"]
