"""Whose a case is: by its id in public namings, and by what a user says."""

import json
import logging
from pathlib import Path

import pytest

from pedseg.cases import Patients, patient_of
from pedseg.cases.patients import known_patient
from pedseg.errors import PedsegError


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("BraTS-GLI-00009-000", "BraTS-GLI-00009"),
        ("BraTS-GLI-00009-001", "BraTS-GLI-00009"),
        ("BraTS-GLI-02063-103", "BraTS-GLI-02063"),
        ("BraTS-PED-00171-000", "BraTS-PED-00171"),
        ("BraTS-SSA-00002-000", "BraTS-SSA-00002"),
        ("BraTS-MET-00001-000", "BraTS-MET-00001"),
        ("BraTS-MEN-RT-0003-1", "BraTS-MEN-RT-0003"),
        ("BraTS-GLI-00009", "BraTS-GLI-00009"),
        ("Brats17_TCIA_101_1", "Brats17_TCIA_101"),
        ("Brats18_CBICA_AAB_1", "Brats18_CBICA_AAB"),
        ("BraTS19_2013_10_1", "BraTS19_2013_10"),
        ("brats_tcia_pat101_0001", "brats_tcia_pat101"),
        ("brats_2013_pat0003_1", "brats_2013_pat0003"),
        ("UPENN-GBM-00006_11", "UPENN-GBM-00006"),
        ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429"),
        ("UCSF-PDGM-0429", "UCSF-PDGM-0429"),
        ("UCSD-PTGBM-0002_01", "UCSD-PTGBM-0002"),
        ("RHUH-0001_2", "RHUH-0001"),
        ("sub-01_ses-02", "sub-01"),
        ("sub-BTC1", "sub-BTC1"),
        ("TCGA-02-0003_1997.06.08", "TCGA-02-0003"),
        ("TCGA-DU-A5TP_19970608", "TCGA-DU-A5TP"),
        ("W39_1998.09.19", "W39"),
        ("CBTN0001_tp2", "CBTN0001"),
        ("C102459_1234d_B_brain", "C102459"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003"),
        ("Patient-001_week-000-1", "Patient-001"),
        ("100003_time2", "100003"),
        ("P7 visit 2", "P7"),
        ("P7_followup", "P7"),
        ("P7-pre-op", "P7"),
        ("BT0012", "BT0012"),
    ],
)
def test_ids_that_name_a_patient(case: str, patient: str) -> None:
    assert known_patient(case) == patient == patient_of(case)


@pytest.mark.parametrize(
    "case",
    [
        "BraTS2021_00001", "BraTS20_Training_001", "BRATS_001", "BraTS-GoAT-00001", "hospital-7-000", "patient0",
        "X BraTS-GLI-00009-000", "hospital_visit_3", "Müller-01", "scan_20110101",
    ],
)  # fmt: skip
def test_other_ids_are_patients_of_their_own(case: str) -> None:
    """The ids of BraTS 2020, 2021 and of the Decathlon are numbers of cases, of which several may be one patient's."""
    assert known_patient(case) is None
    assert patient_of(case) == case


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("who.csv", "case,patient,age\na1,A,7\nb1,B,8\nMüller,A,\n\n"),
        ("who.csv", '\ufeffPatient ; CASE\r\nA;a1\r\nB;"b1"\r\nA;Müller\r\n'),
        ("who.tsv", "case\tpatient\na1\tA\nb1\tB\nMüller\tA\n"),
        ("who.json", json.dumps([{"case": c, "patient": p} for c, p in (("a1", "A"), ("b1", "B"), ("Müller", "A"))])),
    ],
)
def test_tables(tmp_path: Path, name: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    said = Patients.read(str(path)).of({"x": ["a1", "b1", "Mu\u0308ller"], "y": ["BraTS-GLI-00001-000"]})
    assert said == {"x": {"a1": "A", "b1": "B", "Mu\u0308ller": "A"}, "y": {"BraTS-GLI-00001-000": "BraTS-GLI-00001"}}
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,person\na,A\n", "needs a case and a patient in every row"),
        ("case,patient\na,\n", "needs a case and a patient in every row"),
        ("case,patient\na,A\na,B\n", "gives case a to A and to B"),
        ("case,patient\na,A,7\n", "line 2 has 3 cells and the head has 2"),
        ("case,patient,case\na,A,b\n", "two columns 'case'"),
        ("case,patient\n", "has no rows"),
        ("", "has no rows"),
        ("case,patient\nq,Q\n", "speaks of no case; they are called a, b"),
        ("case,patient\na,A\n", "1 of 2 cases of cohort x, and not of b"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "who.csv"
    path.write_text(text)
    with pytest.raises(PedsegError, match=message) as refusal:
        Patients.read(path).of({"x": ["a", "b"]})
    assert str(path) in str(refusal.value)


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("case,patient\nMüller,A\n".encode("latin-1"))
    (tmp_path / "no.json").write_text('{"a": "A"}')
    for name, message in (("none.csv", "no such file"), ("latin.csv", "save it as CSV UTF-8"), ("no.json", "records")):
        with pytest.raises(PedsegError, match=message):
            Patients.read(tmp_path / name)


def test_expressions() -> None:
    cases = ["siteA-7-x", "siteA-7-y", "B9"]
    said = Patients.read(r"(site\w-\d+)-|(B\d+)").of({"x": cases})
    assert said == {"x": {"siteA-7-x": "siteA-7", "siteA-7-y": "siteA-7", "B9": "B9"}}
    for source, message in (
        (r"site\w", "has no group"),
        ("(", "is no regular expression"),
        (r"(site\w-\d+)", "speaks of 2 of 3 cases of cohort x, and not of B9"),
        ("(Z)", "speaks of no case"),
    ):
        with pytest.raises(PedsegError, match=message):
            Patients.read(source).of({"x": cases})


def test_ids_that_tell_nothing_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        said = Patients().of({"x": ["sub-1_ses-1", *"dcba"]}, {"x": {"a": "P", "b": "b"}})
    assert said == {"x": {"sub-1_ses-1": "sub-1", "a": "P", "b": "b", "c": "c", "d": "d"}}
    assert len(caplog.records) == 1
    assert "cohort x: 3 of 5 ids name no patient that could be told (b, c, d)" in caplog.text
    assert "folds.patients=TABLE.csv" in caplog.text
