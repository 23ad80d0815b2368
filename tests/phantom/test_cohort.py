"""Cohorts on disk."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.cases import find_cases
from pedseg.errors import PedsegError
from pedseg.labels import Modality, Region
from pedseg.phantom.anatomy import load_atlas
from pedseg.phantom.cohort import CohortSettings, build_case, make_cohort, measure_cohort
from pedseg.phantom.sizes import kolmogorov_smirnov, size_model

CASES = 60
SPACING = 8.0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("cohort", "first"), [("adult", "BraTS-GLI-90001-000"), ("ped", "BraTS-PED-90001-000")])
def test_layout_is_that_of_brats(cohorts: Path, cohort: str, first: str) -> None:
    found = find_cases(cohorts / cohort, cohort=cohort, labelled=True)
    assert not found.problems
    assert len(found.cases) == CASES
    assert found.cases[0].id == first
    case = cohorts / cohort / first
    assert {p.name for p in case.iterdir()} == {f"{first}-{part}.nii.gz" for part in (*Modality, "seg")}
    assert json.loads((cohorts / cohort / "SYNTHETIC.json").read_text())["settings"]["seed"] == 3


@pytest.mark.parametrize("cohort", ["adult", "ped"])
def test_files_have_the_types_and_values_of_brats(cohorts: Path, cohort: str) -> None:
    for case in find_cases(cohorts / cohort, cohort=cohort, labelled=True).cases[:12]:
        images = [nib.load(image.path) for image in case.images]
        label = nib.load(case.label)
        arrays = [np.asarray(image.dataobj) for image in images]
        assert {image.get_data_dtype() for image in images} == {np.dtype(np.int16)}
        assert label.get_data_dtype() == np.uint8
        assert set(np.unique(label.dataobj)) <= {0, 1, 2, 3}
        assert all(array.min() == 0 for array in arrays)
        assert not np.asarray(label.dataobj)[arrays[0] == 0].any()
        assert all(np.array_equal(image.affine, label.affine) for image in images)


def test_volumes_have_the_published_distributions(cohorts: Path, settings: dict[str, CohortSettings]) -> None:
    for cohort, setting in settings.items():
        volumes = measure_cohort(cohorts / cohort, setting, cases=CASES)
        published = size_model(setting.traits.population).published
        for region in (Region.WT, Region.TC):
            assert kolmogorov_smirnov(volumes[region], published[region]) < 0.16, (cohort, region)
        large = volumes[Region.ET] > 5000  # below it, voxels of half a millilitre are too coarse to compare
        smaller = published[Region.ET].below(np.array([5000.0]))[0]
        assert large.mean() == pytest.approx(1 - smaller, abs=0.12)
    no_oedema = volumes[Region.WT] - volumes[Region.TC] < SPACING**3
    assert 0.55 < no_oedema.mean() < 0.85  # 42 % without any; 70 of 99 with less than half a millilitre


def test_bytes_depend_on_neither_workers_nor_what_is_there(
    cohorts: Path, settings: dict[str, CohortSettings], tmp_path: Path
) -> None:
    folder = tmp_path / "with a space" / "ped"
    list(make_cohort(folder, settings["ped"], cases=2))
    list(make_cohort(folder, settings["ped"], cases=6, workers=2))
    made = contents(folder)
    reference = contents(cohorts / "ped")
    assert made == {name: reference[name] for name in made}
    assert len(made) == 6 * 5 + 1


def test_a_test_set_is_the_cases_that_a_training_set_leaves_out(
    cohorts: Path, settings: dict[str, CohortSettings], tmp_path: Path
) -> None:
    made = list(make_cohort(tmp_path, settings["ped"], cases=2, first=3))
    assert made == [settings["ped"].case_id(index) for index in (3, 4)]
    reference = contents(cohorts / "ped")
    assert contents(tmp_path) == {name: reference[name] for name in contents(tmp_path)}
    volumes = measure_cohort(tmp_path, settings["ped"], cases=2, first=3)
    assert np.array_equal(volumes[Region.WT], measure_cohort(cohorts / "ped", settings["ped"], cases=5)[Region.WT][3:])


def test_an_interrupted_cohort_is_completed_and_the_rest_left_alone(
    settings: dict[str, CohortSettings], tmp_path: Path
) -> None:
    setting = settings["adult"]
    assert list(make_cohort(tmp_path, setting, cases=3)) == [setting.case_id(i) for i in range(3)]
    before = contents(tmp_path)
    shutil.rmtree(tmp_path / setting.case_id(0))
    (tmp_path / setting.case_id(1) / f"{setting.case_id(1)}-t2w.nii.gz").unlink()
    kept = (tmp_path / setting.case_id(2) / f"{setting.case_id(2)}-seg.nii.gz").stat()
    list(make_cohort(tmp_path, setting, cases=3))
    assert contents(tmp_path) == before
    again = (tmp_path / setting.case_id(2) / f"{setting.case_id(2)}-seg.nii.gz").stat()
    assert (again.st_ino, again.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)


def test_a_failing_case_leaves_nothing_behind(
    settings: dict[str, CohortSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr("pedseg.phantom.cohort._nifti_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        list(make_cohort(tmp_path, settings["ped"], cases=1))
    assert [p.name for p in tmp_path.iterdir()] == ["SYNTHETIC.json"]


def test_other_settings_and_foreign_folders_are_refused(cohorts: Path, tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="choose another folder"):
        list(make_cohort(cohorts / "ped", CohortSettings("ped", SPACING, seed=4), cases=1))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PedsegError, match="no synthetic cohort"):
        list(make_cohort(tmp_path, CohortSettings("ped", SPACING, seed=4), cases=1))


def test_the_same_case_has_other_images_under_another_seed() -> None:
    atlas = load_atlas(SPACING)
    one, two = (build_case(atlas, CohortSettings("ped", SPACING, seed=seed), 0) for seed in (0, 1))
    assert not np.array_equal(one.images[Modality.T1N], two.images[Modality.T1N])


@pytest.mark.slow
def test_one_millimetre_is_the_grid_of_brats(tmp_path: Path) -> None:
    setting = CohortSettings("adult", 1.0, seed=0)
    list(make_cohort(tmp_path, setting, cases=1))
    image = nib.load(tmp_path / setting.case_id(0) / f"{setting.case_id(0)}-t1c.nii.gz")
    assert image.shape == (240, 240, 155)
    assert np.array_equal(image.affine, [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert image.header.get_zooms() == (1, 1, 1)
    assert 1.3e6 < (np.asarray(image.dataobj) > 0).sum() < 2.0e6
