"""Adversarial adaptation: the network against classifiers of the domain.

Fu et al. 2024 (arXiv:2406.16848) put one classifier on the second-highest decoder stage behind a gradient reversal
(Ganin et al. 2016). Variants: several stages at once (Kamnitsas et al. 2017), features conditioned on the prediction
(CDAN: Long et al. 2018), and the entropy of the prediction in place of features (ADVENT: Vu et al. 2019).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from pedseg.adaptation.method import Method, Stage, Step, Takes, ramp
from pedseg.labels import Region
from pedseg.losses import self_information
from pedseg.networks import DomainClassifier, GradientReversal, SegmentationNetwork
from pedseg.networks.contract import Norm
from pedseg.networks.domain_classifier import Pooling
from pedseg.settings.signature import Count, NotNegative, SettingError, Share, Whole

Reads = Literal["features", "conditioned", "entropy"]
CONDITIONS = 4  # background, and the three regions


class Classifier(BaseModel):
    """Settings of the domain classifiers (`DomainClassifier`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    blocks: Count = 4
    """Number of blocks; at most, as without pooling=flatten there are no more than the stage's size allows."""
    channels: Count = 100
    """Channels of every block, and units of the hidden layer."""
    shared_blocks: bool = False
    """Whether the middle blocks are one and the last is not pooled, as in the released code."""
    pooling: Pooling = "flatten"
    """flatten: the paper's, for one patch size; average: any size; none: fully convolutional, a vote at every place."""
    norm: Norm = "instance"
    """instance or batch."""

    def build(self, *, channels: int, size: Sequence[int]) -> DomainClassifier:
        """Build one for an input of that many channels and that size.

        It has no more blocks than the input can be halved: one setting then does for stages of several sizes. The
        paper's form (``pooling=flatten``) is built as it is asked for, or not at all.
        """
        settings = self.model_dump()
        if self.pooling != "flatten":
            settings["blocks"] = max(1, min(self.blocks, int(math.log2(min(size)))))
        return DomainClassifier(in_channels=channels, input_size=size, **settings)


def _listed(value: object) -> object:
    return [value] if isinstance(value, int | str) else value


class DomainAdversary(Method):
    """``lambda_domain`` times the cross-entropy of the domain, reversed on its way into the network.

    With several classifiers the mean of their losses, with a vote at every place (``pooling=none``) the mean over
    places. Alpha is set when an epoch starts (as in the released code). A mean over samples: with instance norms two
    processes learn what one does.

    Logged per epoch: ``loss_domain``, ``domain_accuracy`` and the same per domain, ``alpha``; and of watched steps
    ``gradient_seg`` and ``gradient_domain``, norms of the gradients of all other terms and of the reversed term where
    they meet: at the stage of the shallowest classifier, or at the prediction.

    Args:
        alpha_max: strength of the reversal at the end of its rise.
        lambda_domain: weight of the loss.
        alpha_start: progress in [0, 1) at which alpha begins to rise.
        alpha_end: and at which it is reached.
        decoder_stage: what the classifiers read: 1 is the deepest stage, -1 the full-size one, 0 the bottleneck; a
            list makes a classifier for each.
        reads: features of the stages; conditioned: each channel times the probability of background, WT, TC and ET,
            through which no gradient flows (`conditioned`); entropy: the weighted self-information of the prediction
            at full size (Vu et al. 2019, section 3.2), whatever the stage.
        classifier: settings of the classifiers.

    Attributes:
        classifiers: by the decoder stage that they read, 1 the deepest, 0 the bottleneck; none before `start`.

    Raises:
        SettingError: alpha does not rise, or more than one stage is to read the entropy.
    """

    stage = Stage.FEATURES
    takes = Takes.OUTPUTS
    strengths = ("alpha_max", "lambda_domain")

    def __init__(
        self,
        *,
        alpha_max: NotNegative,
        lambda_domain: NotNegative,
        alpha_start: Share = 0.2,
        alpha_end: Share = 0.7,
        decoder_stage: Annotated[Sequence[Whole], BeforeValidator(_listed), Field(min_length=1)] = (-2,),
        reads: Reads = "features",
        classifier: Classifier = Classifier(),  # noqa: B008  (frozen)
    ) -> None:
        super().__init__()
        if reads == "entropy" and len(decoder_stage) > 1:
            raise SettingError("decoder_stage", list(decoder_stage), "reads=entropy has one input; give a single one")
        self.alpha_schedule = ramp(maximum=alpha_max, start=alpha_start, end=alpha_end, prefix="alpha_")
        self.lambda_domain = lambda_domain
        self.decoder_stage = decoder_stage
        self.reads = reads
        self.classifier = classifier
        self.classifiers = nn.ModuleDict()
        self.reversal = GradientReversal()

    def start(self, network: SegmentationNetwork) -> None:
        """Build the classifiers for what the network will give them.

        Raises:
            PedsegError: it has no such stage, or the stage is too small for the classifier.
        """
        for chosen in self.decoder_stage:
            stage = _stage(chosen, network)
            channels, size = network.bottleneck_shape if stage == 0 else network.decoder_shapes[stage - 1]
            if self.reads == "conditioned":
                channels *= CONDITIONS
            elif self.reads == "entropy":
                channels, size = 2 * len(Region), network.decoder_shapes[-1][1]
            self.classifiers[str(stage)] = self.classifier.build(channels=channels, size=size)

    def start_epoch(self, progress: float) -> dict[str, float]:
        """Set alpha."""
        alpha = self.alpha_schedule(progress)
        self.reversal.set_alpha(alpha)
        return {"alpha": alpha}

    def loss(self, step: Step) -> Tensor:
        """Weighted domain loss of all samples of the step."""
        domain = step.domain
        losses, correct = [], []
        shallowest = max(map(int, self.classifiers))
        for stage, classifier in self.classifiers.items():
            inputs = self._inputs(step, int(stage), watched=step.watched and int(stage) == shallowest)
            logits = classifier(self.reversal(inputs)).float()
            target = domain.view(-1, *[1] * (logits.ndim - 2)).expand(len(logits), *logits.shape[2:])
            losses.append(F.cross_entropy(logits, target))
            correct.append((logits.argmax(1) == target).float().reshape(len(logits), -1).mean(1))
        loss = torch.stack(losses).mean()
        self._log(step, loss, torch.stack(correct).mean(0), domain)
        return self.lambda_domain * loss

    def description(self) -> dict[str, Any]:
        """Settings of the classifiers by stage, and the weights."""
        settings = {stage: c.settings for stage, c in self.classifiers.items()}
        return {"classifiers": settings, "lambda_domain": float(self.lambda_domain), "reads": self.reads}

    def _inputs(self, step: Step, stage: int, *, watched: bool) -> Tensor:
        logits = step.output.logits[0]
        features = step.output.bottleneck if stage == 0 else step.output.decoder[stage - 1]
        meeting = logits if self.reads == "entropy" else features
        branch = meeting.view_as(meeting)
        if watched and meeting.requires_grad:
            self._watch(meeting, branch, scale=step.scale)
        if self.reads == "entropy":
            return self_information(branch)
        return conditioned(branch, logits) if self.reads == "conditioned" else branch

    def _log(self, step: Step, loss: Tensor, correct: Tensor, domain: Tensor) -> None:
        step.log("loss_domain", loss, len(domain))
        step.log("domain_accuracy", correct.mean(), len(domain))
        sides = torch.split(correct, [len(image) for image in step.images.values()])
        for name, side in zip(step.images, sides, strict=True):
            step.log(f"{name}/domain_accuracy", side.mean(), len(side))

    def _watch(self, features: Tensor, branch: Tensor, *, scale: float) -> None:
        """Take the norms of the two gradients that meet at `features`, without a second backward.

        Autograd calls the hook of the branch first: the gradient at `features` is the sum of the branch's and of what
        comes back through the rest of the network.
        """
        arrived: list[Tensor] = []

        def keep(gradient: Tensor) -> None:
            arrived.append(gradient.detach().float())
            self.gradient_norms["domain"] = arrived[0].norm() / scale

        def split(gradient: Tensor) -> None:
            self.gradient_norms["seg"] = (gradient.detach().float() - arrived.pop()).norm() / scale

        branch.register_hook(keep)  # type: ignore[no-untyped-call]
        features.register_hook(split)  # type: ignore[no-untyped-call]


def _stage(chosen: int, network: SegmentationNetwork) -> int:
    """Decoder stage counted from the deepest, 0 the bottleneck; negative numbers count from the full-size one."""
    stages = len(network.decoder_shapes)
    stage = chosen if chosen >= 0 else stages + 1 + chosen
    if not 0 <= stage <= stages or (chosen < 0 and stage == 0):
        advice = f"this network has {stages}; use 1 to {stages}, or 0 for the bottleneck"
        raise SettingError("decoder_stage", chosen, advice)
    return stage


def conditioned(features: Tensor, logits: Tensor) -> Tensor:
    """Features (B, C, d, h, w) times the probabilities of background, WT, TC, ET, in blocks: (B, 4 C, d, h, w).

    The multilinear map of CDAN (Long et al. 2018, section 3.1), place by place; logits (B, regions, D, H, W) are
    averaged down to the stage's size. As in its authors' code the probabilities are constants to the gradient: the
    adversary moves the features, not the prediction that they are conditioned on.
    """
    size = (features.shape[2], features.shape[3], features.shape[4])
    probability = F.adaptive_avg_pool3d(logits.detach().float().sigmoid(), size)
    conditions = torch.cat([1 - probability[:, :1], probability], dim=1).to(features.dtype)
    return torch.cat([features * condition for condition in torch.split(conditions, 1, dim=1)], dim=1)
