"""Each transform of the augmentation against batchgeneratorsv2: the same image and parameters into both."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.data import intensity, spatial
from pedseg.data.augmentation import Augmentation, IntensityParameters, Sample, draw_intensity
from pedseg.data.sampling import SampleKey, Stream, random_stream
from pedseg.labels import Domain
from tests.data.transforms import FACTORS, GAMMAS, SCALES, SHAPE, SIGMAS, TRANSFORMS, apply, half_empty_image
from tests.exactness import Exact

Arrays = dict[str, NDArray[np.float32]]
NOISE_SEED = 5
REGIONS = ((1, 2, 3), (1, 3), (3,))  # WT, TC and ET as BraTS labels
PATCH = (10, 9, 12)
PEER = """
import sys
import numpy as np, torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import *

given = np.load(sys.argv[1])
image, label = torch.from_numpy(given["image"]), torch.from_numpy(given["label"])
factors, gammas = torch.from_numpy(given["factors"]), torch.from_numpy(given["gammas"])
everything = torch.arange(4)
yes, no = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
fires = torch.zeros(4, dtype=torch.bool)
fires[torch.from_numpy(given["blurred"])] = True
out = {
    "blur": GaussianBlurTransform()._apply_to_image(
        image.clone(), apply_to_channel=fires, sigmas=given["sigmas"].tolist()),
    "brightness": MultiplicativeBrightnessTransform((1, 1), False)._apply_to_image(
        image.clone(), apply_to_channel=everything, multipliers=factors),
    "contrast": ContrastTransform((1, 1), True, False)._apply_to_image(
        image.clone(), apply_to_channel=everything, multipliers=factors),
    "low_resolution": SimulateLowResolutionTransform((1, 1), False, True, None)._apply_to_image(
        image.clone(), apply_to_channel=given["coarse"].tolist(), scales=torch.from_numpy(given["scales"])),
    "gamma": GammaTransform((1, 1), 0, False, 1, 1)._apply_to_image(
        image.clone(), apply_to_channel=everything, retain_stats=yes, invert_image=no, gamma=gammas),
    "inverted_gamma": GammaTransform((1, 1), 1, False, 1, 1)._apply_to_image(
        image.clone(), apply_to_channel=everything, retain_stats=yes, invert_image=yes, gamma=gammas),
}
torch.manual_seed(int(given["noise_seed"]))
out["noise"] = GaussianNoiseTransform((0, 1), 1, True)._apply_to_image(
    image.clone(), num_apply=4, apply_idx=everything, sigmas=0.07)

spatial = SpatialTransform(tuple(given["patch"].tolist()), 0, False, border_mode_seg="constant", padding_value_seg=-1)
from batchgeneratorsv2.transforms.spatial.spatial import create_affine_matrix_3d, _convert_my_grid_to_grid_sample_grid
grid = spatial._get_base_grid_clone() @ torch.from_numpy(
    create_affine_matrix_3d(given["angles"].tolist(), [float(given["scale"])] * 3).T).float()
grid = _convert_my_grid_to_grid_sample_grid(grid, image.shape[1:])
out["spatial"] = spatial._apply_to_image(image, grid=grid)
out["spatial_label"] = spatial._apply_to_segmentation(label, grid=grid)

axes = given["mirror"].tolist()
mirror = MirrorTransform((0, 1, 2))
end = {"image": mirror._apply_to_image(image + 1, axes=axes).clone(),
       "segmentation": mirror._apply_to_segmentation(label, axes=axes).clone()}
for step in (MaskImageTransform([0, 1, 2, 3]), RemoveLabelTansform(-1, 0),
             ConvertSegmentationToRegionsTransform([(1, 2, 3), (1, 3), (3,)], channel_in_seg=0)):
    end = step(**end)
out["end"], out["regions"] = end["image"], end["segmentation"]
np.savez(sys.argv[2], **{k: v.numpy() for k, v in out.items()})
"""


def row(subject: str, *, tolerance: float, unit: str = "") -> pytest.MarkDecorator:
    """Row of the page on exactness."""
    return pytest.mark.exact(subject, section="Training", peer="batchgeneratorsv2", tolerance=tolerance, unit=unit)


def nested_label() -> NDArray[np.int16]:
    """Voxel labels (1, D, H, W): oedema 2 around a core 1 around enhancement 3, in a head whose outside is -1."""
    z, y, x = np.indices(SHAPE[1:])
    distance = np.hypot(np.hypot(z - 9, y - 8), 1.2 * (x - 12))
    label = np.select([distance < 2, distance < 4, distance < 6, z < 4], [3, 1, 2, -1], 0)
    return label[None].astype(np.int16)


def mirrored_only() -> tuple[SampleKey, tuple[int, ...]]:
    """Key of a sample that is mirrored about at least two axes and not changed otherwise."""
    for position in range(1000):
        key = SampleKey(0, 0, Domain.SOURCE, position, foreground=False)
        drawn = draw_intensity(random_stream(1, key, Stream.INTENSITY))
        if len(drawn.mirror) > 1 and drawn == IntensityParameters(mirror=drawn.mirror):
            return key, drawn.mirror
    raise AssertionError("no such sample")


@pytest.fixture(scope="module")
def peer(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    """The same image and parameters through batchgeneratorsv2, in its own process."""
    folder = tmp_path_factory.mktemp("peer")
    np.savez(
        folder / "given.npz",
        image=half_empty_image(),
        label=nested_label(),
        factors=np.array(FACTORS, np.float32),
        gammas=np.array(GAMMAS, np.float32),
        blurred=list(SIGMAS),
        sigmas=list(SIGMAS.values()),
        coarse=list(SCALES),
        scales=np.array([[s] * 3 for s in SCALES.values()], np.float32),
        noise_seed=NOISE_SEED,
        patch=PATCH,
        angles=[0.3, -0.2, 0.1],
        scale=1.1,
        mirror=mirrored_only()[1],
    )
    files = [str(folder / "given.npz"), str(folder / "out.npz")]
    subprocess.run([str(peers_python), "-c", PEER, *files], check=True, env={"OMP_NUM_THREADS": "1"}, timeout=120)
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=row(f"Augmentation: {n.replace('_', ' ')}", tolerance=1e-5)) for n in TRANSFORMS]
)
def test_intensity(name: str, peer: Arrays, exact: Exact) -> None:
    assert np.abs(peer[name] - half_empty_image()).max() > 0.1
    exact(np.abs(apply(name, half_empty_image()) - peer[name]).max())


@row("Augmentation: noise of one seed", tolerance=1e-6)
def test_noise(peer: Arrays, exact: Exact) -> None:
    image = torch.from_numpy(half_empty_image())
    intensity.add_noise(image, sigma=0.07, seed=NOISE_SEED)
    exact(np.abs(image.numpy() - peer["noise"]).max())


@row("Augmentation: mirroring, 0 outside the brain", tolerance=0)
@row("Augmentation: regions from voxel labels", tolerance=0, unit="of the voxels")
def test_end_of_the_chain(peer: Arrays, exact: Exact) -> None:
    """The image is 1 outside the brain, as blur or noise may leave it, so that the mask has something to take back."""
    label = nested_label()
    masks = np.concatenate([np.isin(label, values) for values in REGIONS]).astype(np.uint8)
    tensors = [torch.from_numpy(array) for array in (half_empty_image() + 1, label >= 0, masks)]
    sample = Sample(tensors[0], tensors[1], tensors[2], None, mirrored_only()[0])
    batch = Augmentation(patch_size=SHAPE[1:], seed=1)([sample])
    exact(np.abs(batch["image"][0].numpy() - peer["end"]).max(), "Augmentation: mirroring, 0 outside the brain")
    exact((batch["label"][0].numpy() != peer["regions"]).mean(), "Augmentation: regions from voxel labels")


@row("Augmentation: rotation and scaling of the image", tolerance=1e-5)
def test_rotation_and_scaling(peer: Arrays, exact: Exact) -> None:
    result = spatial.resample(tuple(torch.from_numpy(half_empty_image())), centred_affine(), PATCH)
    exact(np.abs(result.numpy() - peer["spatial"]).max())


@row(
    "Augmentation: rotation and scaling of nested region masks (each cut at one half; theirs is the likeliest label)",
    tolerance=0.005,
    unit="of the voxels",
)
def test_labels_differ_only_where_three_tissues_meet_or_two_tie(peer: Arrays, exact: Exact) -> None:
    """Each region is cut at one half; the peer takes the likeliest of the exclusive labels.

    The two differ where three tissues meet. The peer's weights are in half precision besides: two labels whose weights
    differ by less than about 1/1000 tie there, and the nearest voxel decides.
    """
    label, expected = nested_label()[0], peer["spatial_label"][0]
    masks = torch.from_numpy(np.stack([np.isin(label, values) for values in REGIONS]))
    result = spatial.resample_masks(masks, centred_affine(), PATCH).numpy()
    weights = spatial.resample(tuple(masks), centred_affine(), PATCH).numpy()
    theirs = np.stack([np.isin(expected, values) for values in REGIONS])
    assert (theirs.sum((1, 2, 3)) > 10).all()
    differing = result != theirs
    exact(differing.any(axis=0).mean())
    tie = np.abs(weights - 0.5) < 5e-4
    assert ((tissues_around(label) >= 3) | tie)[differing].all()


def centred_affine() -> NDArray[np.float32]:
    """Affine of the peer's rotation and scaling: nnU-Net's patch is centred in its box."""
    matrix = 1.1 * spatial.rotation_matrix([0.3, -0.2, 0.1])
    offset = (np.array(SHAPE[1:]) - 1) / 2 - matrix @ ((np.array(PATCH) - 1) / 2)
    return np.concatenate([matrix, offset[:, None]], axis=1).astype(np.float32)


def tissues_around(label: NDArray[np.int16]) -> NDArray[np.int64]:
    """How many labels are among the eight voxels that each voxel of the rotated patch is interpolated from."""
    affine = centred_affine().astype(float)
    positions = np.tensordot(affine[:, :3], np.indices(PATCH), 1) + affine[:, 3, None, None, None]
    padded = np.pad(label, 4, constant_values=-1)
    first = np.floor(positions).astype(int) + 4
    corners = [first + np.array(step)[:, None, None, None] for step in np.ndindex(2, 2, 2)]
    found = np.stack([padded[z, y, x] for z, y, x in corners])
    return np.asarray(np.sum([(found == value).any(axis=0) for value in (-1, 0, 1, 2, 3)], axis=0))
