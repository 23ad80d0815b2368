"""The patient of a case."""

import pytest

from pedseg.cases import patient_of


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("BraTS-GLI-00009-000", "BraTS-GLI-00009"),
        ("BraTS-GLI-00009-001", "BraTS-GLI-00009"),
        ("BraTS-GLI-02063-103", "BraTS-GLI-02063"),
        ("BraTS-PED-00171-000", "BraTS-PED-00171"),
        ("BraTS-SSA-00002-000", "BraTS-SSA-00002"),
        ("Brats18_CBICA_AAB_1", "Brats18_CBICA_AAB"),
        ("BraTS19_2013_10_1", "BraTS19_2013_10"),
        ("UPENN-GBM-00006_11", "UPENN-GBM-00006"),
        ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429"),
        ("UCSF-PDGM-0429", "UCSF-PDGM-0429"),
        ("BraTS2021_00001", "BraTS2021_00001"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BRATS_001", "BRATS_001"),
        ("BraTS-GLI-00009", "BraTS-GLI-00009"),
        ("hospital-7-000", "hospital-7-000"),
        ("X BraTS-GLI-00009-000", "X BraTS-GLI-00009-000"),
    ],
)
def test_patient_of(case: str, patient: str) -> None:
    assert patient_of(case) == patient
