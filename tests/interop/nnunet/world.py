"""Results of nnU-Net as it writes them: small ones made here, and one trained by nnU-Net itself in its environment."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pedseg.networks import SegmentationNetwork, rebuild
from pedseg.networks.nnunet_keys import nnunet_keys
from tests.networks.small import randomised

FEATURES = [3, 6, 6]
STRIDES = [[1, 1, 1], [2, 2, 2], [1, 2, 2]]  # an axis mixed up would show
KERNELS = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
BLOCKS = [2, 1, 2]  # of the residual network
CLASSES = {"unet": "PlainConvUNet", "residual_unet": "ResidualEncoderUNet"}
TRAINED = "Dataset501_Toy/nnUNetTrainer__nnUNetPlans__3d_fullres"
ENVIRONMENT = {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
DATASET = {
    "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
    "regions_class_order": [1, 2, 3],
    "numTraining": 3,
    "file_ending": ".nii.gz",
}

# Trains `folds` for two epochs of two steps, on cases of random blobs, in the folders that nnU-Net's variables name.
TRAINER = """
import json, os, random, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk, torch
job = json.loads(Path(sys.argv[1]).read_text())
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetNumpy
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

plans, dataset = job["plans"], job["dataset"]
name = plans["dataset_name"]
raw, base = Path(os.environ["nnUNet_raw"]) / name, Path(os.environ["nnUNet_preprocessed"]) / name
manager = PlansManager(plans)
configuration = manager.get_configuration("3d_fullres")
prepared = base / configuration.data_identifier
for folder in (raw / "imagesTr", raw / "labelsTr", prepared):
    folder.mkdir(parents=True)
rng = np.random.default_rng(0)
cases = ["case_1", "case_2", "case_3"]
for case in cases:
    distance = np.linalg.norm(np.indices((40, 40, 40)) - rng.integers(15, 25, (3, 1, 1, 1)), axis=0)
    label = sum((distance < radius).astype(np.uint8) for radius in (12, 9, 6))
    brain = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0) < 19
    files = []
    for channel in range(4):
        image = brain * (300 + 100 * channel + 80.0 * label * (-1) ** channel + rng.normal(0, 20, label.shape))
        files.append(str(raw / "imagesTr" / f"{case}_000{channel}.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(image.clip(0).astype(np.int16)), files[-1])
    segmentation = str(raw / "labelsTr" / f"{case}.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(label * brain), segmentation)
    data, seg, properties = DefaultPreprocessor(verbose=False).run_case(
        files, segmentation, manager, configuration, dataset)
    nnUNetDatasetNumpy.save_case(data, seg, properties, str(prepared / case))
(base / "dataset_fingerprint.json").write_text("{}")
splits = [{"train": [c for c in cases if c != held], "val": [held]} for held in cases]
(base / "splits_final.json").write_text(json.dumps(splits))
for fold in job["folds"]:
    seed = 9 if fold == "all" else fold
    torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
    trainer = nnUNetTrainer(plans=plans | {"continue_training": False}, configuration="3d_fullres", fold=fold,
        dataset_json=dataset, device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 2, 2, 1
    trainer.run_training()
"""

# Label maps of one case by nnU-Net's own predictor, for every request, and logits of a patch by every fold.
PREDICTOR = """
import json, sys, types
from pathlib import Path
import torch
job = json.loads(Path(sys.argv[1]).read_text())
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference import predict_from_raw_data as inference
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
inference.recursive_find_trainer_class_by_name = lambda name: {"nnUNetTrainer": nnUNetTrainer}[name]
image, properties = SimpleITKIO().read_images(job["images"])
saved = {"maps": []}
for request in job["requests"]:
    dtype = getattr(torch, request["sums"])  # nnU-Net's sums are hard-coded to half precision
    inference.torch = types.SimpleNamespace(**{**vars(torch), "half": dtype})
    inference.compute_gaussian = lambda *a, dtype=dtype, **k: compute_gaussian(*a, **k, dtype=dtype)
    predictor = inference.nnUNetPredictor(tile_step_size=request["step"], use_mirroring=request["mirror"],
        perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(job["results"], request["folds"], "checkpoint_final.pth")
    saved["maps"].append(torch.from_numpy(predictor.predict_single_npy_array(image, dict(properties))))
torch.manual_seed(0)
saved["patch"] = torch.randn(1, 4, *job["patch"])
predictor.network.eval()
for fold in job["folds"]:
    predictor.initialize_from_trained_model_folder(job["results"], [fold], "checkpoint_final.pth")
    with torch.no_grad():
        saved[f"logits {fold}"] = predictor.network.eval()(saved["patch"])
torch.save(saved, sys.argv[2])
"""


def plans(patch: Sequence[int], *, spacing: Sequence[float] = (1.0, 1.0, 1.0), kind: str = "unet") -> dict[str, Any]:
    """plans.json of a small PlainConvUNet or ResidualEncoderUNet in nnU-Net 2.8's layout."""
    stages = len(FEATURES)
    counts = {"n_conv_per_stage": [2] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}
    if kind == "residual_unet":
        counts = {"n_blocks_per_stage": BLOCKS, "n_conv_per_stage_decoder": [1] * (stages - 1)}
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    architecture = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{CLASSES[kind]}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": FEATURES,
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": KERNELS,
            "strides": STRIDES,
            **counts,
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [40.0] * 3,
        "spacing": list(spacing),
        "normalization_schemes": ["ZScoreNormalization"] * 4,
        "use_mask_for_norm": [True] * 4,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling | {"order": 1},
        "architecture": architecture,
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset501_Toy",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": {str(c): {} for c in range(4)},
    }


def old_layout(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same plans as the first releases of nnU-Net v2 wrote them."""
    old = deepcopy(dict(content))
    configuration = old["configurations"]["3d_fullres"]
    architecture = configuration.pop("architecture")
    arguments = architecture["arch_kwargs"]
    configuration |= {
        "UNet_class_name": architecture["network_class_name"].rpartition(".")[2],
        "UNet_base_num_features": arguments["features_per_stage"][0],
        "unet_max_num_features": max(arguments["features_per_stage"]),
        "n_conv_per_stage_encoder": arguments.get("n_conv_per_stage") or arguments["n_blocks_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [1, 2, 2],
        "pool_op_kernel_sizes": arguments["strides"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
    }
    return old


def random_network(patch: Sequence[int], *, seed: int = 0, kind: str = "unet") -> SegmentationNetwork:
    """Network of `plans` with every parameter, norms and biases too, at random."""
    more = {"blocks": BLOCKS} if kind == "residual_unet" else {}
    plan: dict[str, Any] = {"features": FEATURES, "kernels": KERNELS, "strides": STRIDES, **more}
    network = rebuild({"name": kind, "patch_size": patch, "deep_supervision": True, **plan})
    return randomised(network, seed=seed).eval()


def nnunet_weights(network: SegmentationNetwork) -> dict[str, Tensor]:
    """Weights of `network` under nnU-Net's names, with two of its aliases."""
    own = network.state_dict()
    weights = {other: own[name] for name, other in nnunet_keys(network).items()}
    first = next(name for name in weights if name.endswith(".conv.weight")).removesuffix(".conv.weight")
    aliases = {f"{first}.all_modules.0.weight": weights[f"{first}.conv.weight"]}
    return weights | aliases | {f"decoder.{name}": value for name, value in weights.items() if name.startswith("enc")}


def write_results(
    folder: Path,
    networks: Mapping[str, SegmentationNetwork],
    *,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any] = DATASET,
    **content: Any,
) -> Path:
    """Write a result folder as nnU-Net does: plans, description of the data, a checkpoint for each fold.

    Args:
        folder: to write.
        networks: by fold.
        plans: of the networks.
        dataset: description of the data.
        content: of the checkpoints, in place of what nnU-Net would write.
    """
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for fold, network in networks.items():
        checkpoint = {
            "network_weights": nnunet_weights(network),
            "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(0.25)], "lrs": [0.01]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 1000,
            "init_args": {"configuration": "3d_fullres", "fold": fold, "device": torch.device("cpu")},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint | content, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def train_with_nnunet(
    python: Path, folder: Path, *, patch: Sequence[int], folds: Sequence[int | str], kind: str = "unet"
) -> Path:
    """Let nnU-Net's own trainer write a result folder, and return it."""
    folder.mkdir(exist_ok=True)
    (folder / "job.json").write_text(json.dumps({"plans": plans(patch, kind=kind), "dataset": DATASET, "folds": folds}))
    places = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    _run(python, TRAINER, folder / "job.json", environment=places)
    return folder / "results" / TRAINED


def predict_with_nnunet(python: Path, folder: Path, **job: Any) -> dict[str, Any]:
    """Let nnU-Net's own predictor segment a case, once for every request."""
    (folder / "predict.json").write_text(json.dumps(job))
    _run(python, PREDICTOR, folder / "predict.json", folder / "predicted.pt", environment={})
    saved: dict[str, Any] = torch.load(folder / "predicted.pt", weights_only=True)
    return saved


def _run(python: Path, program: str, *arguments: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [python, "-c", program, *arguments],
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
