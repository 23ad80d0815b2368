"""Adversarial adaptation: the network against classifiers of the domain.

Fu et al. 2024 (arXiv:2406.16848) put one classifier on the second-highest decoder stage behind a gradient reversal
(Ganin et al. 2016). Variants: several stages at once (Kamnitsas et al. 2017), features conditioned on the prediction
(CDAN: Long et al. 2018), and the entropy of the prediction in place of features (ADVENT: Vu et al. 2019).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pedseg.adaptation.method import Method, Step
from pedseg.errors import PedsegError
from pedseg.losses import self_information
from pedseg.networks import DomainClassifier, GradientReversal

Reads = Literal["features", "conditioned", "entropy"]
CONDITIONS = 4  # background, and the three regions


class DomainAdversary(Method):
    """``lambda_domain`` times the cross-entropy of the domain, reversed on its way into the network.

    With several classifiers the mean of their losses, with a vote at every place (``pooling=none``) the mean over
    places. Alpha is set when an epoch starts (as in the released code). A mean over samples: with instance norms two
    processes learn what one does.

    Logged per epoch: ``loss_domain``, ``domain_accuracy`` and the same per domain, ``alpha``; and of watched steps
    ``gradient_seg`` and ``gradient_domain``, norms of the gradients of all other terms and of the reversed term where
    they meet: at the stage of the shallowest classifier, or at the prediction.

    Args:
        classifiers: by the decoder stage that they read, 1 the deepest, 0 the bottleneck.
        alpha_schedule: strength of the reversal as a function of progress in [0, 1).
        lambda_domain: weight of the loss.
        reads: "features" of the stages; "conditioned": each channel times the probability of background, WT, TC and
            ET, through which no gradient flows (`conditioned`); "entropy": the weighted self-information of the
            prediction at full size (Vu et al. 2019, section 3.2), whatever the stage.

    Raises:
        PedsegError: there is no classifier, or more than one for the entropy.
    """

    def __init__(
        self,
        *,
        classifiers: Mapping[int, DomainClassifier],
        alpha_schedule: Callable[[float], float],
        lambda_domain: float = 0.01,
        reads: Reads = "features",
    ) -> None:
        super().__init__()
        if not classifiers:
            raise PedsegError("the adversary has no decoder_stage to read; name at least one")
        if reads == "entropy" and len(classifiers) > 1:
            raise PedsegError(f"reads=entropy has one input, not {len(classifiers)}; give a single decoder_stage")
        self.classifiers = nn.ModuleDict({str(stage): classifier for stage, classifier in classifiers.items()})
        self.reversal = GradientReversal()
        self.alpha_schedule = alpha_schedule
        self.lambda_domain = lambda_domain
        self.reads = reads

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
