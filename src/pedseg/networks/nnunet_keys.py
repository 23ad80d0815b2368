"""Names of the network's tensors in nnU-Net's checkpoints."""

from collections.abc import Mapping

from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.networks.unet import UNet


def nnunet_keys(network: UNet) -> dict[str, str]:
    """Name in nnU-Net's PlainConvUNet of every tensor of `network`, by its own name.

    nnU-Net repeats each convolution and norm under ``all_modules`` and the encoder under ``decoder.encoder``; those
    aliases are not listed. Its heads are numbered from the deepest, ours from the full size.
    """
    stages = len(network.encoder)
    modules: dict[str, str] = {}
    for stage in range(stages):
        modules |= _block(f"encoder.{stage}", f"encoder.stages.{stage}.0")
    for stage in range(stages - 1):
        modules |= _block(f"decoder.{stage}.conv_block", f"decoder.stages.{stage}")
        modules[f"decoder.{stage}.transp_conv.conv"] = f"decoder.transpconvs.{stage}"
        modules[f"seg_layers.{stage}.conv.conv"] = f"decoder.seg_layers.{stages - 2 - stage}"
    names = [name.rpartition(".") for name in network.state_dict()]
    return {f"{module}.{tensor}": f"{modules[module]}.{tensor}" for module, _, tensor in names}


def weights_from_nnunet(network: UNet, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict for `network` from the weights of an nnU-Net of the same plan.

    Raises:
        PedsegError: a tensor is missing or has another shape.
    """
    own = network.state_dict()
    found: dict[str, Tensor] = {}
    for name, other in nnunet_keys(network).items():
        if other not in weights:
            raise PedsegError(f"nnU-Net weights lack {other!r}; check the number of stages, the norm and conv_bias")
        if weights[other].shape != own[name].shape:
            raise PedsegError(
                f"nnU-Net weight {other!r} has shape {tuple(weights[other].shape)}, the network needs "
                f"{tuple(own[name].shape)}; build the network from that checkpoint's plan"
            )
        found[name] = weights[other]
    return found


def _block(own: str, other: str) -> dict[str, str]:
    return {
        f"{own}.{mine}": f"{other}.convs.{theirs}"
        for mine, theirs in (
            ("conv1.conv", "0.conv"),
            ("norm1", "0.norm"),
            ("conv2.conv", "1.conv"),
            ("norm2", "1.norm"),
        )
    }
