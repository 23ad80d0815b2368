"""configs/metadata.json and configs/inference.json of a MONAI bundle.

Keys follow MONAI's bundle specification, https://docs.monai.io/en/stable/mb_specification.html.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.inference import LoadedNetwork
from pedseg.interop.portable import NORMALISATION
from pedseg.labels import Modality, Region

SCHEMA: Final = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
CHANNELS: Final = {
    Modality.T1N: "t1n (T1)",
    Modality.T1C: "t1c (T1 with contrast agent)",
    Modality.T2W: "t2w (T2)",
    Modality.T2F: "t2f (T2 FLAIR)",
}
REGIONS: Final = {
    Region.WT: "whole tumour (WT)",
    Region.TC: "tumour core (TC)",
    Region.ET: "enhancing tumour (ET)",
}
INTENDED_USE: Final = "Research. This is no medical device and must not be used for diagnosis or treatment."
ENTRY: Final = "pedseg.interop.bundle.inference"
EVALUATED: Final = ("$", "@", "%")  # MONAI runs, looks up and reads in what begins so
SEPARATORS: Final = ("#", "::")  # in a key, of those above it
BESIDE_MONAI: Final = ("torch", "monai", "numpy")  # have entries of their own in the metadata


def metadata(
    members: Sequence[LoadedNetwork], *, regions_written: Mapping[Region, Sequence[int]], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Describe the networks.

    Args:
        members: of the ensemble, alike in everything but their weights.
        regions_written: voxel labels that make up each region in the label maps of the default convention.
        versions: of the packages that the bundle needs, by name.
    """
    described = {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"exported by pedseg {__version__}"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"].partition("+")[0],
        "numpy_version": versions["numpy"],
        "required_packages_version": {name: version for name, version in versions.items() if name not in BESIDE_MONAI},
        "name": "pedseg glioma segmentation",
        "task": "Segmentation of glioma in brain MRI of four modalities",
        "description": (
            f"{members[0].network.title} ({len(members)} member{'s'[: len(members) > 1]}) in overlapping windows, "
            f"mirrored and averaged. Label maps hold {_labels(regions_written)}."
        ),
        "authors": "whoever trained the networks with pedseg",
        "copyright": "code: the authors of pedseg (Apache-2.0); weights: whoever trained them",
        "data_type": "nifti",
        "image_classes": f"{len(Modality)} channels, skull-stripped and registered; {NORMALISATION}",
        "pred_classes": (
            f"{len(Region)} overlapping regions; a voxel is inside where its logit is above {_boundary(members[0])}"
        ),
        "intended_use": INTENDED_USE,
        "references": [
            "Fu et al. 2024, https://arxiv.org/abs/2406.16848",
            members[0].network.reference,
        ],
        "source_checkpoints_sha256": [member.identity for member in members],
        "network_data_format": _data_format(members[0]),
    }
    literal(described)
    return described


def _boundary(member: LoadedNetwork) -> str:
    """What a logit is compared with."""
    if member.thresholds is None:
        return "0"
    values = zip(Region, member.thresholds, strict=True)
    return ", ".join(f"{value:.4g} ({region.upper()})" for region, value in values)


def _labels(regions_written: Mapping[Region, Sequence[int]]) -> str:
    return ", ".join(
        f"{REGIONS[region]} = {'+'.join(map(str, sorted(labels)))}" for region, labels in regions_written.items()
    )


def _data_format(member: LoadedNetwork) -> dict[str, Any]:
    common = {
        "type": "image",
        "spatial_shape": list(member.patch_size),
        "spacing": list(member.spacing_mm),
        "axes": ["z", "y", "x"],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
    }
    image = {"format": "magnitude", "modality": "MR", "num_channels": len(Modality)}
    prediction = {"format": "classes", "activation": "sigmoid", "num_channels": len(Region)}
    return {
        "inputs": {"image": common | image | {"channel_def": _numbered([CHANNELS[m] for m in Modality])}},
        "outputs": {"pred": common | prediction | {"channel_def": _numbered([REGIONS[r] for r in Region])}},
    }


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def inference(member: LoadedNetwork, *, models: Sequence[str], convention: str) -> dict[str, Any]:
    """Say how ``python -m monai.bundle run`` predicts a folder of cases; every entry can be overridden there.

    The sources in the bundle come before any installed pedseg.

    Args:
        member: one of the networks.
        models: state dicts, relative to the root of the bundle.
        convention: voxel labels to write.
    """
    return {
        "imports": ["$import os", "$import pathlib", "$import sys", "$import torch"],
        "bundle_root": ".",
        "sources": "$sys.path.insert(0, os.path.join(os.path.abspath(@bundle_root), 'scripts'))",
        "dataset_dir": "$@bundle_root + '/cases'",
        "output_dir": "$@bundle_root + '/eval'",
        "convention": convention,
        "step": 0.5,
        "mirror": True,
        "precision": "32",
        "window_batch": 1,
        "overwrite": False,
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "patch_size": literal(list(member.patch_size)),
        "spacing_mm": literal(list(member.spacing_mm)),
        "mirror_axes": literal(list(member.mirror_axes)),
        "thresholds": literal(None if member.thresholds is None else list(member.thresholds)),
        "models": [f"$@bundle_root + '/{model}'" for model in models],
        "network_def": _component("pedseg.networks.rebuild", settings=literal(member.network.settings)),
        **_workflow(),
        "run": ["$@evaluator.run()"],
    }


def literal(value: Any) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """A value that comes from a file, if MONAI takes it for nothing but itself.

    MONAI evaluates text that begins with ``$``, ``@`` or ``%`` wherever it stands, and makes an object of a mapping
    with ``_target_`` (https://docs.monai.io/en/stable/config_syntax.html).

    Raises:
        PedsegError: it holds such text or such a key.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or key.startswith((*EVALUATED, "_")) or any(sign in key for sign in SEPARATORS):
                raise PedsegError(f"a bundle cannot hold the key {key!r}, which MONAI would act on; train it again")
            literal(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            literal(inner)
    elif isinstance(value, str) and value.strip().startswith(EVALUATED):
        raise PedsegError(f"a bundle cannot hold the text {value!r}, which MONAI would evaluate; train it again")
    elif not isinstance(value, str | int | float | None):
        raise PedsegError(f"a bundle cannot hold {value!r}, which is no plain value; train it again")
    return value


def _workflow() -> dict[str, Any]:
    windows = ("patch_size", "step", "mirror", "mirror_axes", "precision", "window_batch")
    how = ("inferer", "spacing_mm", "device", "thresholds", "convention", "overwrite")
    cases = ("dataset", "output_dir", "models", *how)
    folder = "$pathlib.Path(str(@dataset_dir))"
    return {
        "dataset": _component("pedseg.cases.find_cases", folder=folder, cohort="input", labelled=False),
        "inferer": _component(f"{ENTRY}.WindowInferer", **{name: f"@{name}" for name in windows}),
        "evaluator": _component(
            f"{ENTRY}.CaseEvaluator", network="@network_def", **{name: f"@{name}" for name in cases}
        ),
    }


def _component(target: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401  (whatever JSON holds)
    """What MONAI makes of a class and its arguments, after `sources` is in force."""
    return {"_target_": target, "_requires_": "@sources", **arguments}
