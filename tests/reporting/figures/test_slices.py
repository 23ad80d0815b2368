"""Example slices: which cases, which slice, which way up."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pedseg.cases import find_cases
from pedseg.errors import PedsegError
from pedseg.labels import get_convention
from pedseg.reporting.figures.slices import choose_cases, slice_figure
from pedseg.reporting.rows import Model, load_models
from pedseg.runs import RunFolder
from tests.imaging.turned import turn
from tests.reporting.worlds import CONVENTION, SHAPE, SPACING_MM, write_children, write_run

IDS = tuple(f"BraTS-PED-0000{n}-000" for n in range(5))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    write_children(tmp_path / "ped", IDS[:3])
    return write_run(tmp_path / "uda" / "fold_0", tmp_path / "ped", name="uda", errors=(4, 0, 1))


def scores(**dice: float) -> pd.DataFrame:
    return pd.DataFrame([{"case": c, "region": r, "dice": d} for c, d in dice.items() for r in ("wt", "tc", "et")])


def test_choice_of_cases() -> None:
    assert choose_cases(scores(a=0.1, b=0.9, c=0.5, d=0.4, e=0.8)) == {"best": "b", "median": "c", "worst": "a"}
    assert choose_cases(scores(a=0.1, b=0.9)) == {"best": "b", "worst": "a"}
    assert choose_cases(scores(a=0.1)) == {"best": "a"}


def test_slices(run: RunFolder, tmp_path: Path) -> None:
    model = load_models([tmp_path / "uda"])[0]
    cases = {case.id: case for case in find_cases(tmp_path / "ped", cohort="ped", labelled=True).cases}
    predictions = {name: run.variant("plain").path / f"{name}.nii.gz" for name in IDS[:3]}
    figure = slice_figure(model, cases, predictions, convention=CONVENTION, title="x (SYNTHETIC data)")
    assert figure is not None
    assert figure.get_suptitle() == "x (SYNTHETIC data)"
    rows = [figure.axes[9 * row].get_ylabel() for row in range(3)]
    assert [row.split(":")[0] for row in rows] == ["best", "median", "worst"]
    assert IDS[1] in rows[0]
    assert "WT 1.00" in rows[0]
    assert IDS[0] in rows[2]
    for number, axis in enumerate(figure.axes):
        errors = number % 3 == 2
        assert len(axis.images) == (2 if errors else 1)
        assert not (errors and len(axis.collections))
        assert number % 9 > 1 or len(axis.collections) == 3  # axial: an outline for each region
    assert [axis.get_title().replace("\n", " ") for axis in figure.axes[:3]] == [
        "axial label", "axial prediction", "axial errors",
    ]  # fmt: skip
    sides = [[text.get_text() for text in figure.axes[3 * plane].texts] for plane in range(3)]
    assert [side[:2] for side in sides] == [["R", "L"], ["R", "L"], ["A", "P"]]
    assert sides[0][2].startswith("z = ")
    bar = np.asarray(figure.axes[0].lines[0].get_xdata())
    assert (bar[1] - bar[0]) * SPACING_MM == pytest.approx(50)
    # the tumour of the second case is at x = 22, and the file's x runs to the left: it is right of the middle
    outline = np.concatenate([p.vertices for p in figure.axes[0].collections[0].get_paths()])
    assert outline[:, 0].mean() == pytest.approx(22, abs=0.5)


def test_axes_that_run_the_other_way_are_flipped(run: RunFolder, tmp_path: Path) -> None:
    case = find_cases(tmp_path / "ped", cohort="ped", labelled=True).cases[1]
    prediction = run.variant("plain").path / f"{case.id}.nii.gz"
    assert case.label is not None
    for path in (*(image.path for image in case.images), case.label, prediction):
        image = nib.load(path)
        nib.Nifti1Image(np.asarray(image.dataobj)[::-1, ::-1], np.diag([4.0, 4.0, 4.0, 1.0])).to_filename(path)
    model = Model("x", scores(**{case.id: 0.5}))
    figure = slice_figure(model, {case.id: case}, {case.id: prediction}, convention=CONVENTION, title="")
    assert figure is not None
    outline = np.concatenate([p.vertices for p in figure.axes[0].collections[0].get_paths()])
    assert outline[:, 0].mean() == pytest.approx(22, abs=0.5)


def test_files_that_are_stored_in_different_axes(run: RunFolder, tmp_path: Path) -> None:
    case = find_cases(tmp_path / "ped", cohort="ped", labelled=True).cases[1]
    prediction = run.variant("plain").path / f"{case.id}.nii.gz"
    assert case.label is not None
    places = {"t1c": case.images[1].path, "t2f": case.images[3].path, "label": case.label, "prediction": prediction}
    model = Model("x", scores(**{case.id: 0.5}))

    def drawn() -> list[NDArray[np.float64]]:
        figure = slice_figure(model, {case.id: case}, {case.id: prediction}, convention=CONVENTION, title="")
        assert figure is not None
        drawings = [outline for axis in figure.axes for outline in axis.collections]
        outlines = [np.concatenate([p.vertices for p in outline.get_paths()]) for outline in drawings]
        return [*(np.asarray(axis.images[0].get_array()) for axis in figure.axes), *outlines]

    before = drawn()
    for path, axes in zip(places.values(), ("PIR", "RAS", "ASL", "LPI"), strict=True):
        turn(path, axes)
    for one, other in zip(before, drawn(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_the_label_ignores_is_drawn_on_neither_side(run: RunFolder, tmp_path: Path) -> None:
    case = find_cases(tmp_path / "ped", cohort="ped", labelled=True).cases[1]
    prediction = run.variant("plain").path / f"{case.id}.nii.gz"
    assert case.label is not None
    image = nib.load(case.label)
    voxels = np.asarray(image.dataobj).copy()
    voxels[voxels != 0] = 9
    nib.Nifti1Image(voxels, image.affine).to_filename(case.label)
    convention = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": 9})
    model = Model("x", scores(**{case.id: 0.5}))
    figure = slice_figure(model, {case.id: case}, {case.id: prediction}, convention=convention, title="")
    assert figure is not None
    assert [len(axis.collections) for axis in figure.axes] == [0] * len(figure.axes)  # they agree everywhere


def test_without_labels_images_or_predictions(run: RunFolder, tmp_path: Path) -> None:
    model = load_models([tmp_path / "uda"])[0]
    bare = {case.id: case for case in find_cases(tmp_path / "ped", cohort="ped", labelled=False).cases}
    predictions = {name: run.variant("plain").path / f"{name}.nii.gz" for name in IDS[:3]}
    assert slice_figure(model, {}, predictions, convention=CONVENTION, title="") is None
    assert slice_figure(model, bare, {}, convention=CONVENTION, title="") is None
    figure = slice_figure(model, bare, predictions, convention=CONVENTION, title="")
    assert figure is not None
    assert "no label" in [text.get_text() for text in figure.axes[0].texts]
    assert "no label" in [text.get_text() for text in figure.axes[2].texts]
    other = tmp_path / "other.nii.gz"
    nib.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), np.eye(4)).to_filename(other)  # axes in the wrong order
    with pytest.raises(PedsegError, match="has shape"):
        slice_figure(model, bare, dict.fromkeys(IDS, other), convention=CONVENTION, title="")
