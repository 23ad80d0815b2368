"""Names of the networks' tensors in the checkpoints of nnU-Net and of the released code of Fu et al. 2024."""

from collections.abc import Mapping

from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.networks.contract import SegmentationNetwork
from pedseg.networks.domain_classifier import DomainClassifier
from pedseg.networks.residual import ResidualUNet
from pedseg.networks.unet import UNet

WRAPPERS = ("module.", "_orig_mod.")  # put before names by DistributedDataParallel and torch.compile
CLASSIFIER = "domain_classifier."
ALIASES = ("decoder.encoder.", f"{CLASSIFIER}decoder.", f"{CLASSIFIER}encoder.")
RELEASED_BLOCKS = ("doubleConvsMaxPool", "doubleConvsMaxPool2", "doubleConvs2")  # first, shared middle, last


def nnunet_keys(network: SegmentationNetwork) -> dict[str, str]:
    """Name in nnU-Net's PlainConvUNet or ResidualEncoderUNet of every tensor of `network`, by its own name.

    nnU-Net repeats each convolution and norm under ``all_modules`` and the encoder under ``decoder.encoder``; those
    aliases are not listed. Its heads are numbered from the deepest, ours from the full size.

    Raises:
        PedsegError: nnU-Net has no network of this kind.
    """
    if isinstance(network, UNet):
        modules = _plain_modules(network)
    elif isinstance(network, ResidualUNet):
        modules = _residual_modules(network)
    else:
        raise PedsegError(f"nnU-Net has no {network.name}")
    return _tensors(network.state_dict(), modules)


def _plain_modules(network: UNet) -> dict[str, str]:
    stages = len(network.encoder)
    modules: dict[str, str] = {}
    for stage in range(stages):
        modules |= _block(f"encoder.{stage}", f"encoder.stages.{stage}.0")
    for stage in range(stages - 1):
        modules |= _block(f"decoder.{stage}.conv_block", f"decoder.stages.{stage}")
        modules[f"decoder.{stage}.transp_conv.conv"] = f"decoder.transpconvs.{stage}"
        modules[f"seg_layers.{stage}.conv.conv"] = f"decoder.seg_layers.{stages - 2 - stage}"
    return modules


def _residual_modules(network: ResidualUNet) -> dict[str, str]:
    stages, settings = len(network.encoder), network.settings
    modules = _layer("encoder.0.stem", "encoder.stem.convs.0")
    for stage, blocks in enumerate(settings["blocks"]):
        for block in range(blocks):
            own, other = f"encoder.{stage}.blocks.{block}", f"encoder.stages.{stage}.blocks.{block}"
            modules |= _layer(f"{own}.conv1", f"{other}.conv1") | _layer(f"{own}.conv2", f"{other}.conv2")
        pooled = network.topology.strides[stage] != (1, 1, 1)
        modules |= _layer(
            f"encoder.{stage}.blocks.0.shortcut.project", f"encoder.stages.{stage}.blocks.0.skip.{int(pooled)}"
        )
    for stage in range(stages - 1):
        modules[f"decoder.{stage}.up"] = f"decoder.transpconvs.{stage}"
        modules[f"seg_layers.{stage}"] = f"decoder.seg_layers.{stages - 2 - stage}"
        for number in range(settings["decoder_convolutions"]):
            modules |= _layer(f"decoder.{stage}.convolutions.{number}", f"decoder.stages.{stage}.convs.{number}")
    return modules


def classifier_keys(classifier: DomainClassifier) -> dict[str, str]:
    """Name in the released code of every tensor of `classifier` (``shared_blocks=True``), by its own name."""
    modules = {"hidden": f"{CLASSIFIER}Dense1.0", "output": f"{CLASSIFIER}Dense2"}
    for block, name in enumerate(RELEASED_BLOCKS):
        for i in (0, 1):
            modules[f"blocks.{block}.{3 * i}"] = f"{CLASSIFIER}{name}.{i}.conv"
            modules[f"blocks.{block}.{3 * i + 1}"] = f"{CLASSIFIER}{name}.{i}.norm"
    return _tensors(classifier.state_dict(), modules)


def distinct_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` without wrappers' prefixes and without nnU-Net's aliases.

    The aliases are each convolution and norm under ``all_modules``, the encoder within the decoder, and, in the
    released code, the decoder or the encoder within the classifier.
    """
    distinct: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        plain = name
        while plain.startswith(WRAPPERS):
            plain = plain.partition(".")[2]
        if not (".all_modules." in plain or plain.startswith(ALIASES)):
            distinct[plain] = tensor
    return distinct


def weights_from_nnunet(network: SegmentationNetwork, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict for `network` from the weights of an nnU-Net of the same plan.

    Raises:
        PedsegError: a tensor is missing or has another shape, or nnU-Net has no network of this kind.
    """
    return _collect(network.state_dict(), nnunet_keys(network), weights)


def classifier_from_released(classifier: DomainClassifier, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict for `classifier` from the released code's weights; the two domain logits change places.

    The released code has the target first, `DomainClassifier` the source.

    Raises:
        PedsegError: a tensor is missing or has another shape.
    """
    found = _collect(classifier.state_dict(), classifier_keys(classifier), weights)
    return {name: tensor.flip(0) if name.startswith("output.") else tensor for name, tensor in found.items()}


def _collect(own: Mapping[str, Tensor], keys: Mapping[str, str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, other in keys.items():
        if other not in weights:
            raise PedsegError(f"nnU-Net weights lack {other!r}; check the number of stages, the norm and conv_bias")
        if weights[other].shape != own[name].shape:
            raise PedsegError(
                f"nnU-Net weight {other!r} has shape {tuple(weights[other].shape)}, the network needs "
                f"{tuple(own[name].shape)}; build the network from that checkpoint's plan"
            )
        found[name] = weights[other]
    return found


def _tensors(own: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, str]:
    names = [name.rpartition(".") for name in own]
    return {f"{module}.{tensor}": f"{modules[module]}.{tensor}" for module, _, tensor in names}


def _layer(own: str, other: str) -> dict[str, str]:
    return {f"{own}.{module}": f"{other}.{module}" for module in ("conv", "norm")}


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
