"""Cases as volumes: where a voxel lies, what is grey, what is wrong."""

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.labels import get_convention
from pedseg.metrics import EXTRA, MISSED
from pedseg.pages.viewing import Layer
from pedseg.pages.volumes import view_case
from tests.imaging.turned import turn
from tests.reporting.worlds import CONVENTION, write_children


@pytest.fixture
def case(tmp_path: Path) -> Case:
    write_children(tmp_path / "ped", ["BraTS-PED-00000-000"])
    return find_cases(tmp_path / "ped", cohort="ped", labelled=True).cases[0]


def opened(layer: Layer) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(layer.content))


def test_layers_of_a_case(case: Case, tmp_path: Path) -> None:
    assert case.label is not None
    label = nib.load(case.label)
    moved = tmp_path / "moved.nii.gz"
    nib.Nifti1Image(np.roll(np.asarray(label.dataobj), 1, axis=0), label.affine).to_filename(moved)
    viewed = view_case(case, {"UDA": moved, "1*": case.label}, convention=CONVENTION, note="best")
    kinds = [(layer.title, layer.kind, layer.model) for layer in viewed.layers]
    assert kinds == [
        ("FLAIR", "image", ""), ("T1 with contrast", "image", ""), ("T1", "image", ""), ("T2", "image", ""),
        ("label", "tissues", ""),
        ("prediction", "tissues", "UDA"), ("errors", "difference", "UDA"),
        ("prediction", "tissues", "1*"), ("errors", "difference", "1*"),
    ]  # fmt: skip
    whole = np.asarray(label.dataobj)
    shown = opened(viewed.layers[4])
    found = np.asarray(shown.dataobj)
    assert found.shape < whole.shape  # cut to the brain
    assert np.bincount(found.ravel()).tolist()[1:] == np.bincount(whole.ravel()).tolist()[1:]
    for code in (1, 2, 3):  # in the same places of the world
        ours = apply_affine(shown.affine, np.argwhere(found == code)).mean(axis=0)
        theirs = apply_affine(label.affine, np.argwhere(whole == code)).mean(axis=0)
        assert ours == pytest.approx(theirs)
    middle = apply_affine(label.affine, np.argwhere(whole > 0)).mean(axis=0)
    assert viewed.spot_mm == pytest.approx(tuple(middle))
    greys = np.asarray(opened(viewed.layers[0]).dataobj)
    assert greys.dtype == np.uint8
    assert (greys.min(), greys.max()) == (0, 255)
    errors = np.asarray(opened(viewed.layers[6]).dataobj)
    assert (errors == MISSED).sum() == (errors == EXTRA).sum() > 0
    assert not np.asarray(opened(viewed.layers[8]).dataobj).any()


def test_tissues_have_one_code_whatever_the_convention(case: Case, tmp_path: Path) -> None:
    assert case.label is not None
    label = nib.load(case.label)
    codes = np.asarray(label.dataobj).astype(np.uint8)
    other = tmp_path / "other.nii.gz"
    nib.Nifti1Image(np.where(codes == 3, 4, codes).astype(np.uint8), label.affine).to_filename(other)
    one = view_case(case, {}, convention=CONVENTION).layers[4]
    two = view_case(replace(case, label=other), {}, convention=get_convention("brats2021")).layers[4]
    assert one.content == two.content


def test_files_that_are_stored_in_different_axes(case: Case) -> None:
    assert case.label is not None
    before = view_case(case, {}, convention=CONVENTION)
    for path, axes in zip([case.images[0].path, case.images[1].path, case.label], ("PIR", "RAS", "ASL"), strict=True):
        turn(path, axes)
    after = view_case(case, {}, convention=CONVENTION)
    assert [layer.content for layer in after.layers] == [layer.content for layer in before.layers]


def test_probabilities_of_the_regions(case: Case, tmp_path: Path) -> None:
    assert case.label is not None
    shape = nib.load(case.label).shape
    values = np.zeros((*shape, 3), dtype=np.float32)
    values[18, 20, 12] = (1.0, 0.5, 0.25)
    nib.Nifti1Image(values, nib.load(case.label).affine).to_filename(tmp_path / "sure.nii.gz")
    sure = {"UDA": tmp_path / "sure.nii.gz"}
    layers = view_case(case, {"UDA": case.label}, convention=CONVENTION, probabilities=sure).layers[7:]
    assert [(layer.title, layer.kind, layer.model) for layer in layers] == [
        (f"probability of {region}", "probability", "UDA") for region in ("WT", "TC", "ET")
    ]
    assert [np.asarray(opened(layer).dataobj).max() for layer in layers] == [255, 128, 64]


def test_nothing_is_wrong_where_the_label_ignores_voxels(case: Case, tmp_path: Path) -> None:
    assert case.label is not None
    label = nib.load(case.label)
    voxels = np.asarray(label.dataobj).astype(np.uint8)
    open_label, wide = tmp_path / "open.nii.gz", tmp_path / "wide.nii.gz"
    nib.Nifti1Image(np.where(voxels == 2, 9, voxels), label.affine).to_filename(open_label)
    nib.Nifti1Image(np.where(voxels == 2, 1, voxels), label.affine).to_filename(wide)
    convention = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": 9})
    viewed = view_case(replace(case, label=open_label), {"UDA": wide}, convention=convention)
    codes = [set(np.unique(np.asarray(opened(layer).dataobj)).tolist()) for layer in viewed.layers[4:]]
    assert codes == [{0, 1, 3}, {0, 1, 3}, {0}]  # label, prediction as it is, errors


def test_a_case_without_label_is_shown_where_its_prediction_is(case: Case, tmp_path: Path) -> None:
    assert case.label is not None
    bare = view_case(replace(case, label=None), {"UDA": case.label}, convention=CONVENTION)
    assert [layer.kind for layer in bare.layers[4:]] == ["tissues"]
    assert bare.spot_mm == view_case(case, {}, convention=CONVENTION).spot_mm
    other = tmp_path / "other.nii.gz"
    nib.Nifti1Image(np.zeros((3, 4, 5), dtype=np.uint8), np.eye(4)).to_filename(other)
    with pytest.raises(PedsegError, match=r"other\.nii\.gz"):
        view_case(case, {"UDA": other}, convention=CONVENTION)
