"""Pictures of what the network does on source validation patches. Patient images: only on request."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pedseg.ignored import judged
from pedseg.tracking import trackers

CAPTION = "FLAIR · label · prediction"


class SourceSlices(pl.Callback):
    """Send one slice of the first source validation patch to the trackers, label and prediction side by side.

    Args:
        every_n_epochs: epochs between two pictures.
    """

    def __init__(self, *, every_n_epochs: int = 10) -> None:
        self.every_n_epochs = every_n_epochs

    @torch.no_grad()
    def on_validation_batch_end(  # noqa: PLR0917  (Lightning's hook)
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: dict[str, dict[str, Tensor]],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch of every few epochs (rank 0)."""
        if batch_idx or not trainer.is_global_zero or trainer.current_epoch % self.every_n_epochs:
            return
        source = batch["source"]
        logits = pl_module(source["image"][:1])
        picture = slice_picture(source["image"][0], source["label"][0] > 0, logits[0] > 0)
        for tracker in trackers(trainer.loggers):
            tracker.picture("val/source/slice", picture, caption=CAPTION, epoch=trainer.current_epoch)


def slice_picture(image: Tensor, label: Tensor, prediction: Tensor) -> NDArray[np.uint8]:
    """Draw FLAIR, label and prediction of the slice with the most tumour as one RGB picture (H, 3·W, 3).

    Args:
        image: (4, D, H, W).
        label: boolean regions (3, D, H, W); WT, TC and ET become the red, green and blue of the overlay. Voxels that a
            fourth mask ignores are shown on neither side.
        prediction: (3, D, H, W).
    """
    prediction, label, _ = judged(prediction, label)
    depth = int(label[0].sum(dim=(1, 2)).argmax())
    flair = image[3, depth].float()
    low, high = flair.min(), flair.max()
    grey = ((flair - low) / (high - low).clamp_min(1e-6)).unsqueeze(-1).expand(-1, -1, 3)
    panels = [grey]
    for regions in (label, prediction):
        colours = regions[:, depth].permute(1, 2, 0).float()
        panels.append(torch.where(regions[0, depth].unsqueeze(-1), 0.5 * grey + 0.5 * colours, grey))
    return (torch.cat(panels, dim=1) * 255).byte().cpu().numpy()
