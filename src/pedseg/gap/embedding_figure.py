"""Picture of the features of both domains, a panel per model."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pedseg.gap.embedding import Embedding
from pedseg.reporting.figures.style import SOURCE, TARGET

COLUMN_INCHES = 2.9
MARGIN = 1.08  # around the outermost case
LONGEST_LINE = 28  # characters of a panel's title


def embedding_figure(embeddings: Sequence[Embedding], *, title: str = "") -> Figure:
    """Draw the cases of both domains; all panels have one scale, and the probe's accuracy in their titles."""
    figure = Figure(figsize=(COLUMN_INCHES * len(embeddings) + 0.6, 4.3), layout="compressed")
    figure.suptitle(title)
    points = np.concatenate([part for embedding in embeddings for part in (embedding.source, embedding.target)])
    reach = MARGIN * float(np.abs(points).max())
    axes = figure.subplots(1, len(embeddings), sharex=True, sharey=True, squeeze=False)[0]
    for axis, embedding in zip(axes, embeddings, strict=True):
        axis.scatter(*embedding.source.T, s=20, color=SOURCE, alpha=0.75, linewidths=0, label="source")
        axis.scatter(*embedding.target.T, s=24, color=TARGET, alpha=0.85, linewidths=0, marker="^", label="target")
        axis.set_title(f"{_broken(embedding.name)}\nprobe {embedding.accuracy:.2f}")
        axis.set_xlabel("PC 1")
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axis.grid(visible=True)
    axes[0].set_ylabel("PC 2")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _broken(name: str) -> str:
    """Break a name that is wider than its panel."""
    return "\n".join(textwrap.wrap(name, LONGEST_LINE, break_on_hyphens=False))


def embedding_data(embeddings: Sequence[Embedding]) -> pd.DataFrame:
    """What `embedding_figure` draws, a row per model and case."""
    return pd.DataFrame(
        {"model": one.name, "domain": domain, "pc1": x, "pc2": y, "probe": one.accuracy}
        for one in embeddings
        for domain, points in (("source", one.source), ("target", one.target))
        for x, y in points
    )
