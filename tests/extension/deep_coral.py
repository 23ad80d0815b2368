"""Deep CORAL (Sun and Saenko 2016), a method as any other package may hold one."""

import torch
from torch import Tensor

from pedseg.adaptation import Method, Stage, Step, Takes
from pedseg.labels import Domain
from pedseg.settings.signature import NotNegative


class DeepCoral(Method):
    """Weight times ``‖C_S - C_T‖²_F / (4 d²)``, the distance of the covariances of both domains (eq. 1).

    C are those of the d features of the bottleneck. In the paper they are over the samples of a batch; here every place
    of a feature map is a sample, too.

    Logged per epoch: ``loss_coral``.

    Args:
        weight: of the loss.
    """

    stage = Stage.FEATURES
    takes = Takes.OUTPUTS
    strengths = ("weight",)

    def __init__(self, *, weight: NotNegative = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def loss(self, step: Step) -> Tensor | None:
        """Weighted distance; none in a step without both domains."""
        if len(step.images) < len(Domain):
            return None
        features = step.output.bottleneck.float()
        source, target = torch.split(features, [len(images) for images in step.images.values()])
        loss = (covariance(source) - covariance(target)).square().sum() / (4 * features.shape[1] ** 2)
        step.log("loss_coral", loss, len(features))
        return self.weight * loss


def covariance(features: Tensor) -> Tensor:
    """Covariances (d, d) of features (n, d, ...) over samples and places (eqs. 2 and 3)."""
    return torch.cov(features.movedim(1, 0).flatten(1))
