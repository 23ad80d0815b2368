"""Resampling against values by hand, and against nnU-Net's own bit by bit."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from pedseg.imaging.resampling import SplineOrder, coarse_axis, resample_image, resample_label, resampled_shape
from tests.exactness import Exact

PEER = {"section": "Preprocessing", "peer": "nnunetv2"}
GRIDS = [  # shape, its voxel size, the new one: isotropic, each axis coarse, two coarse axes, coarse in the new grid
    ((20, 22, 24), (1.0, 1.0, 1.0), (1.5, 1.3, 0.8)),
    ((8, 30, 28), (5.0, 1.0, 1.0), (2.0, 1.0, 1.0)),
    ((30, 9, 28), (1.0, 5.0, 1.0), (1.0, 2.5, 1.2)),
    ((30, 31, 9), (0.9, 0.9, 4.0), (1.0, 1.0, 1.0)),
    ((8, 20, 28), (5.0, 5.0, 1.0), (2.0, 1.0, 1.0)),
    ((20, 22, 24), (1.0, 1.0, 1.0), (4.0, 1.0, 1.0)),
]
NNUNET = """
import sys, numpy as np
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape
given, result = np.load(sys.argv[1]), {}
for i in range(len(given.files) // 4):
    old, new = given[f"old{i}"], given[f"new{i}"]
    shape = compute_new_shape(given[f"image{i}"].shape[1:], old, new)
    for name, order in (("image", 3), ("logits", 1), ("label", 1)):
        data = given[f"{'label' if name == 'label' else 'image'}{i}"]
        result[f"{name}{i}"] = resample_data_or_seg_to_shape(
            data, shape, old, new, is_seg=name == "label", order=order, order_z=0, force_separate_z=None)
np.savez(sys.argv[2], **result)
"""


def test_shapes_and_coarse_axes() -> None:
    assert resampled_shape((155, 240, 240), (1.0, 1.0, 1.0), (2.0, 1.5, 0.5)) == (78, 160, 480)
    assert resampled_shape((2, 4, 4), (1.0, 1.0, 1.0), (9.0, 1.0, 1.0)) == (1, 4, 4)
    found = [coarse_axis(old, new) for _, old, new in GRIDS]
    assert found == [None, 0, 1, 2, None, 0]


def test_linear_interpolation_by_hand() -> None:
    ramp = np.array([0.0, 2.0, 4.0, 6.0], dtype=np.float32).reshape(1, 1, 1, 4)
    doubled = resample_image(ramp, (1, 1, 8), spacing_mm=(1.0, 1.0, 2.0), new_spacing_mm=(1.0, 1.0, 1.0), order=1)
    assert np.allclose(doubled[0, 0, 0], [0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6])  # edges replicated, faces aligned
    assert doubled.dtype == np.float32


def test_splines_stay_in_the_range_of_the_image() -> None:
    step = np.zeros((1, 8, 8, 8), dtype=np.float32)
    step[:, 4:] = 1
    result = resample_image(step, (13, 8, 8), spacing_mm=(1.0, 1.0, 1.0), new_spacing_mm=(0.6, 1.0, 1.0))
    assert result.min() == 0
    assert result.max() == 1
    positions = np.array(np.meshgrid(*[8 / n * (np.arange(n) + 0.5) - 0.5 for n in (13, 8, 8)], indexing="ij"))
    spline = map_coordinates(step[0].astype(float), positions, order=3, mode="nearest")
    assert np.allclose(result[0], spline.clip(0, 1), atol=1e-6)


def test_labels_compete_and_no_other_label_appears() -> None:
    label = np.array([0, 0, 2, 2], dtype=np.uint8).reshape(1, 1, 4)
    finer = resample_label(label, (1, 1, 8), spacing_mm=(1.0, 1.0, 2.0), new_spacing_mm=(1.0, 1.0, 1.0))
    assert finer.tolist() == [[[0, 0, 0, 0, 2, 2, 2, 2]]]
    assert finer.dtype == np.uint8


def test_a_coarse_axis_is_not_interpolated() -> None:
    image = np.random.default_rng(0).normal(size=(1, 3, 6, 6))
    finer = resample_image(image, (6, 6, 6), spacing_mm=(8.0, 1.0, 1.0), new_spacing_mm=(4.0, 1.0, 1.0))
    assert np.allclose(finer[0], image[0].repeat(2, axis=0))


@pytest.mark.slow
@pytest.mark.exact("Resampling to six grids: images, order 3", **PEER, tolerance=1e-6)
@pytest.mark.exact("Resampling to six grids: logits, order 1", **PEER, tolerance=1e-6)
@pytest.mark.exact("Resampling to six grids: label maps", **PEER, tolerance=0, unit="of the voxels")
def test_equal_to_nnunet(peers_python: Path, tmp_path: Path, exact: Exact) -> None:
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {}
    for i, (shape, old, new) in enumerate(GRIDS):
        blocks = rng.integers(-1, 4, [-(-n // 3) for n in shape])
        label = blocks.repeat(3, 0).repeat(3, 1).repeat(3, 2)[tuple(slice(n) for n in shape)]
        image = rng.normal(size=(2, *shape)).astype(np.float32)
        given |= {f"image{i}": image, f"label{i}": label[None].astype(np.int8)}
        given |= {f"old{i}": np.array(old), f"new{i}": np.array(new)}
    np.savez(tmp_path / "given.npz", **given)
    subprocess.run([peers_python, "-c", NNUNET, tmp_path / "given.npz", tmp_path / "theirs.npz"], check=True)
    theirs = np.load(tmp_path / "theirs.npz")
    for i, (shape, old, new) in enumerate(GRIDS):
        size = resampled_shape(shape, old, new)
        orders: dict[str, SplineOrder] = {"image": 3, "logits": 1}
        for name, order in orders.items():
            ours = resample_image(given[f"image{i}"], size, spacing_mm=old, new_spacing_mm=new, order=order)
            subject = f"Resampling to six grids: {name.removesuffix('s')}s, order {order}"
            exact(np.abs(ours - theirs[f"{name}{i}"]).max(), subject)
        ours = resample_label(given[f"label{i}"][0].astype(np.int8), size, spacing_mm=old, new_spacing_mm=new)
        exact((ours != theirs[f"label{i}"][0]).mean(), "Resampling to six grids: label maps")
