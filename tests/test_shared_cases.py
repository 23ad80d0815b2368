"""A case of the target that is in the labelled source, too, under any name and in any file format, is kept out."""

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import pytest

from pedseg.commands import prepare as entry
from pedseg.data.seals import SEAL
from pedseg.data.store import CohortStore
from tests.imaging.turned import turn
from tests.training import train

CHILD = "BraTS-PED-90002-000"
COPY = "BraTS-GLI-99999-000"


@pytest.fixture
def raw(toy_world: Path, tmp_path: Path) -> Path:
    """A copy of the raw cohorts."""
    for cohort in ("adult", "ped"):
        shutil.copytree(toy_world / cohort, tmp_path / "raw" / cohort)
    return tmp_path / "raw"


def prepare(raw: Path, store: Path, *overrides: str) -> int:
    paths = [f"paths.{cohort}={raw / cohort}" for cohort in ("adult", "ped")]
    return entry.main(["scale=toy", "workers=1", f"paths.store={store}", *paths, *overrides])


def prepare_each(raw: Path, store: Path) -> None:
    """One cohort after the other, so that neither call knows both."""
    for other in ("adult", "ped"):
        assert prepare(raw, store, f"~data.cohorts.{other}", f"~paths.{other}") == 0


def copied(raw: Path, *, how: str) -> None:
    """Put a child among the adults."""
    (raw / "adult" / COPY).mkdir()
    for path in (raw / "ped" / CHILD).iterdir():
        copy = raw / "adult" / COPY / path.name.replace(CHILD, COPY)
        shutil.copy(path, copy)
        plain = gzip.decompress(copy.read_bytes())
        if how == "recompressed":
            copy.write_bytes(gzip.compress(plain, 1))
        elif how == "nii":
            copy.unlink()
            copy.with_suffix("").write_bytes(plain)
        elif how == "turned":
            turn(copy, "PIR")
        elif how == "float":
            image = nib.load(copy)
            nib.save(nib.Nifti1Image(image.get_fdata(), image.affine), copy)


def same_patient(raw: Path) -> None:
    """Put another session of a child, with images of nobody else, among the adults."""
    other = "BraTS-PED-90002-001"
    (raw / "adult" / other).mkdir()
    for path in (raw / "ped" / CHILD).iterdir():
        image = nib.load(path)
        data = image.get_fdata()
        changed = data if "seg" in path.name else data * 2
        nib.save(
            nib.Nifti1Image(changed.astype("int16"), image.affine),
            raw / "adult" / other / path.name.replace(CHILD, other),
        )


@pytest.mark.parametrize("how", ["recompressed", "nii", "turned", "float"])
def test_preparation_refuses_a_copy_or_leaves_it_out_of_the_source(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    copied(raw, how=how)
    store = tmp_path / "store"
    assert prepare(raw, store) == 2
    said = capsys.readouterr().err
    assert f"{COPY}: cohort adult: has the images of {CHILD} in cohort ped" in said
    assert "1 problems in 1 cases" in said
    assert not store.exists()
    assert prepare(raw, store, "skip_bad=true") == 0
    assert COPY not in CohortStore(store / "adult").case_ids
    assert CHILD in CohortStore(store / "ped").case_ids
    assert len(CohortStore(store / "adult").case_ids) == 6


def test_a_patient_is_told_by_the_name(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same_patient(raw)
    assert prepare(raw, tmp_path / "store", "--check") == 2
    assert f"has the patient BraTS-PED-90002 of {CHILD} in cohort ped" in capsys.readouterr().err


def test_a_patient_is_told_by_a_table(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which names one child for an adult's id, then tells two people of one name apart."""
    adults, children = (sorted(path.name for path in (raw / cohort).iterdir()) for cohort in ("adult", "ped"))
    table = tmp_path / "who.csv"

    def say(**patients: str) -> str:
        rows = [f"{case},{patients.get(case, case)}" for case in (*adults, *children)]
        table.write_text("\n".join(["case,patient", *rows]))
        return f"folds.patients={table}"

    world = _world(raw, tmp_path / "store", prepared=True)
    dry = ["experiment=uda", "fold=0", "trainer.fast_dev_run=1"]
    said = say(**{adults[0]: "Ann", children[1]: "ANN"})
    assert train(world, tmp_path / "runs", *dry, said) == 2
    expected = f"{adults[0]}: cohort adult: has the patient Ann of {children[1]} in cohort ped"
    assert expected in capsys.readouterr().err
    assert prepare(raw, world / "store", said) == 2
    assert expected in capsys.readouterr().err
    assert train(world, tmp_path / "runs", *dry, say()) == 3
    same_patient(raw)
    adults.append("BraTS-PED-90002-001")
    assert prepare(raw, tmp_path / "other") == 2
    assert prepare(raw, tmp_path / "other", say()) == 0


@pytest.mark.parametrize("experiment", ["uda", "m1_adult_fold", "m3_mixed"])
def test_training_refuses_what_preparation_could_not_compare(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], experiment: str
) -> None:
    copied(raw, how="nii")
    prepare_each(raw, tmp_path / "store")
    world = _world(raw, tmp_path / "store")
    assert train(world, tmp_path / "runs", f"experiment={experiment}", "fold=0") == 2
    said = capsys.readouterr().err
    assert f"{COPY}: cohort adult: has the images of {CHILD} in cohort ped" in said
    assert "skip_bad=true" in said
    assert not (tmp_path / "runs").exists()
    assert prepare(raw, tmp_path / "store", "skip_bad=true") == 0
    assert train(world, tmp_path / "runs", f"experiment={experiment}", "fold=0", "trainer.fast_dev_run=1") == 3


def _world(raw: Path, store: Path, *, prepared: bool = False) -> Path:
    if prepared:
        assert prepare(raw, store) == 0
    store.rename(raw / "store")
    store.symlink_to(raw / "store")
    return raw


def test_a_store_of_an_older_version_is_not_compared_by_another_kind_of_hash(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said in training, and mended by the next preparation, which prepares no array again."""
    copied(raw, how="recompressed")
    prepare_each(raw, tmp_path / "store")
    world = _world(raw, tmp_path / "store")
    entries = list(world.glob("store/*/cases/*/case.json"))
    whole = {path: json.loads(path.read_text()) for path in entries}
    for path, content in whole.items():
        new = {"digests", "axes", "remarks", "files", SEAL}
        old = {key: value for key, value in content.items() if key not in new}
        path.write_text(json.dumps({**old, "fingerprint": "0" * 32}))
    for index in world.glob("store/*/index.json"):
        content = {key: value for key, value in json.loads(index.read_text()).items() if key != SEAL}
        content["cases"] = {
            name: json.loads((index.parent / "cases" / name / "case.json").read_text()) for name in content["cases"]
        }
        index.write_text(json.dumps(content))
    times = {path: path.stat().st_mtime_ns for path in world.glob("store/*/cases/*/image.b2nd")}
    dry = ["experiment=uda", "fold=0", "trainer.fast_dev_run=1"]
    assert train(world, tmp_path / "runs", *dry) == 3
    said = capsys.readouterr()
    assert "adult was prepared by an older version" in said.out + said.err
    assert prepare(raw, world / "store") == 2
    assert f"has the images of {CHILD}" in capsys.readouterr().err
    prepare_each(raw, world / "store")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert {path: json.loads(path.read_text()) for path in entries} == whole


def test_a_target_stored_in_other_axes_than_the_source_is_said(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (raw / "ped").rglob("*.nii.gz"):
        turn(path, "RAS")
    assert prepare(raw, tmp_path / "store") == 0
    adult, ped = (CohortStore(tmp_path / "store" / cohort).axes for cohort in ("adult", "ped"))
    assert ped == {"RAS"} != adult
    world = _world(raw, tmp_path / "store")
    assert train(world, tmp_path / "runs", "experiment=uda", "fold=0", "trainer.fast_dev_run=1") == 3
    said = capsys.readouterr()
    assert f"ped has cases stored along RAS, and labelled training cases are stored along {''.join(adult)}" in (
        said.out + said.err
    )
