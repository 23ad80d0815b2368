"""nnU-Net's part of the measurements, run by the interpreter of its own environment: ``nnunet.py JOBS RESULTS``.

Trained and predicted is by nnU-Net's own trainer and predictor: its preprocessing, loader, augmentation, network, loss,
precision (autocast and scaler on CUDA, float32 on a CPU) and kernel choice (``cudnn.benchmark``).
"""

import gc
import itertools
import json
import os
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn
from torch.backends import cudnn

COMPILE, PREPROCESSED = "nnUNet_compile", "nnUNet_preprocessed"  # names of its environment variables
WARM_UP = 10  # steps; a compiled network is compiled in the first


def train(job: dict[str, Any], common: dict[str, Any]) -> tuple[float, float]:
    """Median seconds of a step with the wait for its batch, and mean seconds of the wait."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    os.environ[COMPILE] = "true" if job["compile"] else "false"
    prepare(common)
    cudnn.benchmark = True  # as its command run_training sets it
    trainer = nnUNetTrainer(
        plans=common["plans"] | {"continue_training": False},
        configuration="3d_fullres",
        fold="all",
        dataset_json=common["dataset"],
        device=torch.device(common["device"]),
    )
    trainer.initialize()
    trainer.set_deep_supervision_enabled(True)
    trainer.dataset_class.unpack_dataset(trainer.preprocessed_dataset_folder, False, 1, True)
    loader, validation = trainer.get_dataloaders()
    trainer.network.train()
    warm_up = min(WARM_UP, common["steps"])
    ends, waits = [], []
    for _ in range(warm_up + common["steps"]):
        start = time.perf_counter()
        batch = next(loader)
        waits.append(time.perf_counter() - start)
        trainer.train_step(batch)  # returns the loss as a number, so it waits for the GPU
        ends.append(time.perf_counter())
    for augmenter in (loader, validation):
        if hasattr(augmenter, "_finish"):
            augmenter._finish()
    kept = ends[warm_up - 1 :]
    return statistics.median(b - a for a, b in itertools.pairwise(kept)), statistics.fmean(waits[warm_up:])


def prepare(common: dict[str, Any]) -> None:
    """Prepare the labelled cases with nnU-Net's own preprocessor, once."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetNumpy
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(common["plans"])
    configuration = manager.get_configuration("3d_fullres")
    folder = Path(os.environ[PREPROCESSED]) / manager.dataset_name / configuration.data_identifier
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for name, images, label in common["cases"]:
        data, seg, properties = DefaultPreprocessor(verbose=False).run_case(
            images, label, manager, configuration, common["dataset"]
        )
        nnUNetDatasetNumpy.save_case(data, seg, properties, str(folder / name))


def predict(job: dict[str, Any], common: dict[str, Any]) -> float:
    """Median seconds of the logits of a prepared case by a network of random weights, from and to the CPU."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    settings = common["plans"]["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    n = settings["n_stages"]
    torch.manual_seed(common["seed"])
    network = PlainConvUNet(4, n, settings["features_per_stage"], nn.Conv3d, settings["kernel_sizes"],
        settings["strides"], [2] * n, 3, [2] * (n - 1), True, nn.InstanceNorm3d, {"eps": 1e-5, "affine": True},
        None, None, nn.LeakyReLU, {"inplace": True}, False)  # fmt: skip
    predictor = nnUNetPredictor(use_mirroring=job["mirror"], device=torch.device(common["device"]), allow_tqdm=False)
    predictor.network, predictor.allowed_mirroring_axes = network, (0, 1, 2)
    predictor.list_of_parameters = [network.state_dict()]
    patch = common["plans"]["configurations"]["3d_fullres"]["patch_size"]
    predictor.configuration_manager = types.SimpleNamespace(patch_size=patch)
    predictor.label_manager = types.SimpleNamespace(num_segmentation_heads=3)
    image = torch.load(Path(common["folder"]) / "image.pt", weights_only=True)
    seconds = []
    for _ in range(1 + common["repeats"]):
        start = time.perf_counter()
        predictor.predict_logits_from_preprocessed_data(image)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def measure(job: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """Result of a job, or what went wrong."""
    gc.collect()
    on_gpu = common["device"] == "cuda"
    if on_gpu and not torch.cuda.is_available():
        return {"failed": "the torch of the peers' environment finds no CUDA device; install one built for it"}
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        seconds, waits = train(job, common) if job["kind"] == "train" else (predict(job, common), None)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    memory = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None
    return {"seconds": seconds, "waits": waits, "memory": memory}


def main() -> int:
    """Measure all jobs."""
    common = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ.update(common["environment"])  # nnU-Net reads them when it is imported, which comes later
    for job in common["jobs"]:
        result = measure(job, common)
        with Path(sys.argv[2]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
