"""Preprocessing against an independent computation and against nnU-Net's own."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from pedseg.cases import find_cases
from pedseg.errors import PedsegError
from pedseg.imaging import (
    Volume,
    prepare_image,
    prepare_label,
    read_images,
    read_label,
    restore_logits,
    restore_regions,
)
from pedseg.labels import get_convention, regions_from_labels
from tests.exactness import Exact

BRATS = get_convention("brats2023")
NNUNET = """
import sys, types, numpy as np
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape as resample
out, label, spacing, *images = sys.argv[1:]
io = SimpleITKIO()
data, properties = io.read_images(images)
seg, _ = io.read_seg(label)
seg[seg == 4] = 3
kwargs = dict(is_seg=False, order=3, order_z=0, force_separate_z=None)
labels = dict(is_seg=True, order=1, order_z=0, force_separate_z=None)
configuration = types.SimpleNamespace(
    spacing=[float(s) for s in spacing.split(",")], use_mask_for_norm=[True] * 4,
    normalization_schemes=["ZScoreNormalization"] * 4,
    resampling_fn_data=lambda *a: resample(*a, **kwargs), resampling_fn_seg=lambda *a: resample(*a, **labels))
manager = types.SimpleNamespace(foreground_labels=[1, 2, 3], has_ignore_label=False, foreground_regions=None,
    has_regions=False, ignore_label=None)
plans = types.SimpleNamespace(transpose_forward=[0, 1, 2], get_label_manager=lambda d: manager,
    foreground_intensity_properties_per_channel={str(i): {} for i in range(4)})
result = DefaultPreprocessor(verbose=False).run_case_npy(data, seg, properties, plans, configuration, {})
np.savez(out, data=result[0], seg=result[1], box=properties["bbox_used_for_cropping"])
"""


def volumes(*, shape: tuple[int, int, int] = (14, 12, 10), spacing: float = 1.0) -> list[Volume]:
    """Four modalities with a hole in the brain and one voxel that is 0 in three of them."""
    rng = np.random.default_rng(0)
    found = []
    for channel in range(4):
        data = np.zeros(shape, dtype=np.int16)
        data[2:-3, 1:-2, 3:-1] = rng.integers(1, 500, (shape[0] - 5, shape[1] - 3, shape[2] - 4))
        data[5:7, 4:6, 5:7] = 0  # the hole
        if channel:
            data[3, 2, 4] = 0
        found.append(Volume(data, np.eye(4), (spacing, spacing, spacing)))
    return found


def test_crop_and_z_score_by_other_means() -> None:
    images = volumes()
    prepared = prepare_image(images, spacing_mm=None)
    mask = binary_fill_holes(np.any([v.data != 0 for v in images], axis=0))
    box = (slice(2, -3), slice(1, -2), slice(3, -1))
    assert np.array_equal(prepared.brain, mask[box])
    assert prepared.brain[3:5, 3:5, 2:4].all()  # the hole is filled
    assert prepared.raw.dtype == np.int16
    for channel, volume in zip(prepared.normalised(), images, strict=True):
        values = volume.data[mask].astype(np.float64)
        expected = np.where(mask, (volume.data - values.mean()) / values.std(), 0)[box]
        assert np.abs(channel - expected).max() < 1e-5


def test_there_and_back_on_the_same_grid() -> None:
    images = volumes()
    prepared = prepare_image(images, spacing_mm=(1.0, 1.0, 1.0))
    label = np.zeros(images[0].data.shape, dtype=np.uint8)
    label[5:9, 3:7, 4:8] = 2
    label[6:8, 4:6, 5:7] = 1
    regions = prepare_label(label, prepared, BRATS)
    restored = restore_regions(np.where(regions, 5.0, -5.0).astype(np.float32), prepared)
    assert np.array_equal(restored, regions_from_labels(label, BRATS))


def test_resampled_there_and_back() -> None:
    images = volumes(shape=(24, 22, 20), spacing=2.0)
    prepared = prepare_image(images, spacing_mm=(1.0, 1.0, 1.0))
    assert prepared.raw.shape == (4, 38, 38, 32)
    label = np.zeros(images[0].data.shape, dtype=np.uint8)
    label[6:16, 6:16, 6:16] = 3
    regions = prepare_label(label, prepared, BRATS)
    assert regions.shape == (3, 38, 38, 32)
    assert regions[0].sum() == pytest.approx(8 * 1000, rel=0.02)
    restored = restore_regions(np.where(regions, 5.0, -5.0).astype(np.float32), prepared)
    assert (restored != regions_from_labels(label, BRATS)).mean() < 0.005
    assert restore_logits(np.zeros((3, 38, 38, 32), np.float32), prepared).shape == (3, 19, 19, 16)


def test_ignored_voxels_are_one_label_among_the_others() -> None:
    """Resampled, a voxel is ignored where what is ignored weighs most in it, whichever of its values stands where."""
    images = volumes(shape=(24, 22, 20), spacing=2.0)
    prepared = prepare_image(images, spacing_mm=(1.0, 1.0, 1.0))
    convention = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": [4, 9]})
    label = np.zeros(images[0].data.shape, dtype=np.uint8)
    label[6:16, 6:16, 6:16] = 3
    plain = prepare_label(label, prepared, convention)
    assert np.array_equal(plain, prepare_label(label, prepared, BRATS))  # nothing is ignored, and there is no mask
    label[8:12, 8:14, 4:12] = 4
    masks = prepare_label(label, prepared, convention)
    tissue = prepare_label(np.where(label == 4, 1, label), prepared, get_convention({"et": 3, "nc": 2, "ed": [1, 5]}))
    assert masks.shape == (4, 38, 38, 32)
    assert np.array_equal(masks[3], tissue[0] & ~tissue[1])  # where a tissue in its place would be
    assert not (masks[:3] & masks[3]).any()
    assert np.array_equal(masks[0] | masks[3], tissue[0])
    mixed = label.copy()
    mixed[8:12, 8:14, 4:12] = np.random.default_rng(0).choice([4, 9], size=(4, 6, 8))
    assert np.array_equal(prepare_label(mixed, prepared, convention), masks)


def test_what_cannot_be_prepared() -> None:
    images = volumes()
    other = Volume(images[1].data[1:], np.eye(4), (1.0, 1.0, 1.0))
    with pytest.raises(PedsegError, match="differ in grid"):
        prepare_image([images[0], other], spacing_mm=None)
    empty = Volume(np.zeros((4, 4, 4), np.int16), np.eye(4), (1.0, 1.0, 1.0))
    with pytest.raises(PedsegError, match="no brain"):
        prepare_image([empty] * 4, spacing_mm=None)


def nnunet(python: Path, folder: Path, out: Path, spacing: tuple[float, ...]) -> dict[str, NDArray[np.float32]]:
    images = [str(folder / f"{folder.name}_{suffix}.nii.gz") for suffix in ("t1", "t1ce", "t2", "flair")]
    arguments = [str(out), str(folder / f"{folder.name}_seg.nii.gz"), ",".join(map(str, spacing)), *images]
    subprocess.run([python, "-c", NNUNET, *arguments], check=True, capture_output=True)
    return dict(np.load(out))


def rows(grid: str, *, image: float, label: float) -> list[pytest.MarkDecorator]:
    """Rows of the page on exactness for a grid, with their tolerances."""
    kind = {"section": "Preprocessing", "peer": "nnunetv2"}
    return [
        pytest.mark.exact(f"{CROP}, {grid}", **kind, tolerance=0, unit="voxels"),
        pytest.mark.exact(f"{Z_SCORES}, {grid}", **kind, tolerance=image),
        pytest.mark.exact(f"{LABEL}, {grid}", **kind, tolerance=label, unit="of the voxels"),
    ]


CROP, Z_SCORES, LABEL = "Real case: crop box", "Real case: z-scores", "Real case: region masks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("millimetres", "grid"),
    [
        pytest.param(1.0, "at its own 1 mm", marks=rows("at its own 1 mm", image=1e-5, label=0)),
        pytest.param(1.5, "resampled to 1.5 mm", marks=rows("resampled to 1.5 mm", image=1e-5, label=1e-5)),
    ],
)
def test_equal_to_nnunet_on_a_real_case(
    shared: Path, peers_python: Path, tmp_path: Path, millimetres: float, grid: str, exact: Exact
) -> None:
    folder, spacing = shared / "real" / "UPENN-GBM-00006_11", (millimetres,) * 3
    theirs = nnunet(peers_python, folder, tmp_path / "nnunet.npz", spacing)
    (case,) = find_cases(folder, cohort="adult", labelled=True).cases
    assert case.label
    prepared = prepare_image(read_images(case.images), spacing_mm=(millimetres, millimetres, millimetres))
    box = np.array([[side.start, side.stop] for side in prepared.crop])
    exact(np.abs(box - theirs["box"]).max(), f"{CROP}, {grid}")
    exact(np.abs(prepared.normalised() - theirs["data"]).max(), f"{Z_SCORES}, {grid}")
    ours = prepare_label(read_label(case.label), prepared, get_convention("brats2021"))
    label = np.maximum(theirs["seg"][0], 0).astype(np.uint8)
    exact((ours != regions_from_labels(label, BRATS)).mean(), f"{LABEL}, {grid}")
