"""Plans in both layouts, and those that pedseg cannot compute."""

from collections.abc import Callable
from typing import Any

import pytest

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.plans import read_plan
from tests.interop.nnunet.world import BLOCKS, CLASSES, FEATURES, KERNELS, STRIDES, old_layout, plans

PATCH = (8, 16, 24)
Edit = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("layout", [dict, old_layout])
def test_both_layouts_say_the_same(layout: Callable[[Any], dict[str, Any]], kind: str) -> None:
    content = plans(PATCH, spacing=(2.0, 1.0, 1.0), kind=kind)
    arguments = content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [4, 8, 8]
    plan = read_plan(layout(content), "3d_fullres", where="plans.json")
    assert (plan.patch_size, plan.spacing_mm, plan.axis_order) == (PATCH, (2.0, 1.0, 1.0), (0, 1, 2))
    assert plan.topology.as_lists() == {"features": [4, 8, 8], "kernels": KERNELS, "strides": STRIDES}
    assert plan.kind == kind
    assert plan.arguments == ({} if kind == "unet" else {"blocks": BLOCKS, "decoder_convolutions": 1})


def test_configurations_inherit() -> None:
    content = plans(PATCH)
    content["configurations"]["3d_fullres_bs4"] = {"inherits_from": "3d_fullres", "batch_size": 4, "spacing": [2, 2, 2]}
    plan = read_plan(content, "3d_fullres_bs4", where="plans.json")
    assert (plan.patch_size, plan.spacing_mm) == (PATCH, (2.0, 2.0, 2.0))
    content["configurations"]["3d_fullres"]["inherits_from"] = "3d_fullres_bs4"
    with pytest.raises(PedsegError, match="no usable configuration"):
        read_plan(content, "3d_fullres_bs4", where="plans.json")


def test_numbers_stand_for_every_stage_and_axis() -> None:
    content = plans(PATCH)
    arguments = content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments |= {"kernel_sizes": 3, "strides": [1, 2, 2], "n_conv_per_stage": 2}
    topology = read_plan(content, "3d_fullres", where="plans.json").topology
    assert topology.kernels == ((3, 3, 3),) * len(FEATURES)
    assert topology.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2))


REFUSED: dict[str, tuple[Edit, str]] = {
    "2-D": (lambda p, c, a: c.update(patch_size=[16, 16]), "2-D network"),
    "cascade": (lambda p, c, a: c.update(previous_stage="3d_lowres"), "cascade"),
    "CT": (lambda p, c, a: c.update(normalization_schemes=["CTNormalization"] * 4), "normalises by CTNormalization"),
    "no mask": (lambda p, c, a: c.update(use_mask_for_norm=[True, True, False, True]), "use_mask_for_norm"),
    "reader": (lambda p, c, a: p.update(image_reader_writer="NibabelIOWithReorient"), "turns them to RAS"),
    "preprocessor": (lambda p, c, a: c.update(preprocessor_name="Mine"), "preprocesses by Mine"),
    "image order": (lambda p, c, a: c.update(resampling_fn_data_kwargs={"order": 1}), "resamples data"),
    "logits": (lambda p, c, a: c.update(resampling_fn_probabilities="other"), "resamples probabilities by other"),
    "residual decoder": (
        lambda p, c, a: c["architecture"].update(network_class_name="x.ResidualUNet"),
        "is a ResidualUNet; pedseg has PlainConvUNet and ResidualEncoderUNet alone",
    ),
    "convolutions": (lambda p, c, a: a.update(n_conv_per_stage=[2, 3, 2]), r"has n_conv_per_stage \[2, 3, 2\]"),
    "norm": (lambda p, c, a: a.update(norm_op="torch.nn.GroupNorm"), "norm_op GroupNorm"),
    "eps": (lambda p, c, a: a.update(norm_op_kwargs={"eps": 1e-3, "affine": True}), r"norm_op InstanceNorm3d .*0\.001"),
    "affine": (lambda p, c, a: a.update(norm_op_kwargs={"eps": 1e-5}), "norm_op InstanceNorm3d"),
    "slope": (lambda p, c, a: a.update(nonlin_kwargs={"negative_slope": 0.1}), "slope 0.1"),
    "ReLU": (lambda p, c, a: a.update(nonlin="torch.nn.ReLU"), "nonlin ReLU"),
    "order": (lambda p, c, a: a.update(nonlin_first=True), "nonlin_first"),
    "dimensions": (lambda p, c, a: a.update(conv_op="torch.nn.modules.conv.Conv2d"), "conv_op"),
    "stem": (lambda p, c, a: a.update(strides=[[2, 2, 2], *STRIDES[1:]]), "first stride"),
    "patch": (lambda p, c, a: c.update(patch_size=[7, 16, 24]), "no multiple"),
    "incomplete": (lambda p, c, a: a.pop("strides"), "does not say its strides"),
    "no number": (lambda p, c, a: c.update(patch_size=[8, "16", 24]), r"patch_size\.1 '16' should be a valid integer"),
    "huge patch": (lambda p, c, a: c.update(patch_size=[10**5] * 3), r"patch_size\.0 100000 should be less"),
    "no spacing": (lambda p, c, a: c.update(spacing=[0, 1, 1]), r"spacing\.0 0 should be greater"),
    "NaN": (lambda p, c, a: c.update(spacing=[float("nan"), 1, 1]), r"spacing\.0 nan should be"),
    "many stages": (lambda p, c, a: a.update(n_stages=10**6), "n_stages 1000000 should be less"),
    "wide": (lambda p, c, a: a.update(features_per_stage=10**6), "features_per_stage"),
    "no stride": (lambda p, c, a: a.update(strides=[[1, 1, 1], [0, 2, 2], [1, 2, 2]]), "strides .* give a number"),
    "a way out": (lambda p, c, a: p.update(dataset_name="../../x"), r"dataset_name.*'\.\./\.\./x'"),
    "text": (lambda p, c, a: c.update(architecture="x"), "architecture: 'x' give keys and values"),
    "no configurations": (lambda p, c, a: p.update(configurations=[]), "configurations"),
    "stages": (lambda p, c, a: a.update(features_per_stage=[4, 8]), "2 features, 3 kernels"),
    "axes": (lambda p, c, a: p.update(transpose_forward=[0, 1, 1]), "incomplete or damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_pedseg_cannot_compute_is_refused(name: str) -> None:
    edit, message = REFUSED[name]
    content = plans(PATCH)
    configuration = content["configurations"]["3d_fullres"]
    edit(content, configuration, configuration["architecture"]["arch_kwargs"])
    with pytest.raises(PedsegError, match=message):
        read_plan(content, "3d_fullres", where="plans.json")


REFUSED_RESIDUAL: dict[str, tuple[Edit, str]] = {
    "bottlenecks": (lambda p, c, a: a.update(block="x.residual.BottleneckD"), "has block BottleneckD"),
    "stem": (lambda p, c, a: a.update(stem_channels=7), "has stem_channels 7"),
    "decoder": (lambda p, c, a: a.update(n_conv_per_stage_decoder=[1, 2]), r"has n_conv_per_stage_decoder \[1, 2\]"),
    "slope": (lambda p, c, a: a.update(nonlin_kwargs={"negative_slope": 0.1}), "slope 0.1"),
    "incomplete": (lambda p, c, a: a.pop("n_blocks_per_stage"), "incomplete or damaged"),
}


@pytest.mark.parametrize("name", REFUSED_RESIDUAL)
def test_other_residual_networks_are_refused(name: str) -> None:
    edit, message = REFUSED_RESIDUAL[name]
    content = plans(PATCH, kind="residual_unet")
    configuration = content["configurations"]["3d_fullres"]
    edit(content, configuration, configuration["architecture"]["arch_kwargs"])
    with pytest.raises(PedsegError, match=message):
        read_plan(content, "3d_fullres", where="plans.json")


def test_an_absent_configuration_names_the_others() -> None:
    with pytest.raises(PedsegError, match=r"'3d_lowres' \(it has 3d_fullres\)"):
        read_plan(plans(PATCH), "3d_lowres", where="plans.json")
