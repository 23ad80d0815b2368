"""How nnU-Net is started: its plans for our network, its folders, its environment."""

from pathlib import Path
from typing import Any

from pedseg.hardware import cores, share_cores
from pedseg.networks.topology import plan_topology
from tests.benchmarks.gpu.world import Size, adults
from tests.interop.nnunet.world import DATASET, plans

PROGRAM = Path(__file__).parent / "nnunet.py"
BATCH = 4
BRATS_2023 = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": [3]}


def settings(folder: Path, size: Size, device: str) -> dict[str, Any]:
    """What its part of the measurements needs beside the jobs: plans, description of the data, labelled cases."""
    base, most = size.features
    topology = plan_topology(patch_size=(size.patch,) * 3, base_features=base, max_features=most)
    content = plans([size.patch] * 3, spacing=[float(size.spacing)] * 3)
    configuration = content["configurations"]["3d_fullres"]
    configuration["batch_size"] = BATCH
    stages = len(topology.features)
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": list(topology.features),
        "kernel_sizes": [list(kernel) for kernel in topology.kernels],
        "strides": [list(stride) for stride in topology.strides],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    workers = share_cores(cores(), on_cpu=device == "cpu").workers
    cases = [[case.id, [str(image.path) for image in case.images], str(case.label)] for case in adults(folder)]
    dataset = DATASET | {"labels": BRATS_2023, "numTraining": len(cases)}
    return {
        "plans": content,
        "dataset": dataset,
        "cases": cases,
        "repeats": size.repeats,
        "environment": environment(folder, workers=workers),
    }


def environment(folder: Path, *, workers: int) -> dict[str, str]:
    """Variables that nnU-Net reads; its loader gets as many workers as ours."""
    places = {f"nnUNet_{name}": str(folder / "nnunet" / name) for name in ("raw", "preprocessed", "results")}
    return {**places, "nnUNet_n_proc_DA": str(workers), "MPLBACKEND": "agg"}
