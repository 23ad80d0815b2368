"""What is counted of labelled cases."""

import torch

from pedseg.calibration.counts import SourceCounts
from pedseg.labels import Region

SIZE = (4, 5, 6)


def test_ignored_voxels_belong_to_nothing() -> None:
    """Neither to a part nor to the rest: what is counted is that of the others alone."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, *SIZE, generator=generator)
    label = torch.rand(3, *SIZE, generator=generator) > 0.5
    ignored = torch.zeros(1, *SIZE, dtype=torch.bool)
    ignored[:, 2:] = True
    partly, alone, whole = (SourceCounts(1, {Region.TC: Region.WT}) for _ in range(3))
    partly.count(0, logits, torch.cat([label, ignored]))
    alone.count(0, logits[:, :2], label[:, :2])
    whole.count(0, logits, label)
    for part in ("inside", "outside"):
        found, expected, more = (getattr(counts, part).values for counts in (partly, alone, whole))
        assert torch.equal(found, expected)
        assert 0 < found.sum() < more.sum()
