"""What a calibration counts, and what a rule makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pedseg.calibration.bbse import bbse
from pedseg.calibration.counts import AROUND, Counts, Floats, SourceCounts, centres, shares_of
from pedseg.calibration.cut import threshold
from pedseg.calibration.estimated import estimated, interval
from pedseg.calibration.per_case import CaseRule, PerCase, Thresholds, fit_mixture
from pedseg.calibration.posterior import Posterior, fit_posterior
from pedseg.calibration.posteriori import posteriori
from pedseg.calibration.published import own_share, published
from pedseg.errors import PedsegError
from pedseg.labels import Region

if TYPE_CHECKING:
    from pedseg.settings.variants import Variant


@dataclass(frozen=True, slots=True)
class Part:
    """What a calibration has found of a part of the tumour.

    Attributes:
        region: the part.
        share: that it is given, of the region around it, in the mean over cases.
        found: that the network finds by itself.
        evidence: what the share rests on, in plain JSON.
        rule: how its threshold follows from a case, where cases have shares of their own.
        threshold: a logit, where they do not.
    """

    region: Region
    share: float
    found: float
    threshold: float = 0.0
    rule: CaseRule | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Calibration:
    """A calibration of one network.

    Args:
        how: settings of the variant.
        images: how many images of the target there are.
        source: how many labelled cases of the source that the network was not trained on.

    Attributes:
        target: count every image of the target here.
        source: count every labelled case here, where `how.needs_source`.
    """

    def __init__(self, how: "Variant", *, images: int, source: int = 0) -> None:
        self.how = how
        self.around = {part: AROUND[part] if how.needs_source else Region.WT for part in map(Region, how.parts)}
        self.target = Counts(images, self.around)
        self.source = SourceCounts(source, self.around)

    @property
    def images(self) -> int:
        """How many images of the target there are."""
        return len(self.target.values)

    @property
    def totals(self) -> list[Tensor]:
        """What has been counted, to be added up over processes in place."""
        return [counts.values for counts in (self.target, self.source.inside, self.source.outside)]

    @property
    def cases(self) -> int:
        """In how many of them a whole tumour was found, or whatever else lies around the first part."""
        return max((len(shares_of(self.target.of(part))) for part in self.around), default=0)

    def parts(self) -> list[Part]:
        """What the rule makes of what has been counted; none where no image has a tumour.

        Raises:
            PedsegError: the source does not tell how logits and parts go together.
        """
        return [self._part(part) for part in self.around if self.target.of(part).any()]

    def thresholds(self) -> Thresholds | None:
        """Of the parts; None where no image has a tumour."""
        parts = {part.region: part for part in self.parts()}
        if not parts:
            return None
        rules = {region: part.rule for region, part in parts.items() if part.rule}
        return PerCase(rules) if rules else [parts[r].threshold if r in parts else 0.0 for r in Region]

    def _part(self, part: Region) -> Part:
        if not self.how.needs_source:
            return self._published(part)
        evidence = Evidence.of(self, part)
        if self.how.calibration == "per_case":
            mixture = fit_mixture(evidence.counts, evidence.ratios, part=part, voxels=self.how.case_voxels)
            rule = CaseRule(evidence.posterior, mixture, self.how.cut)
            shares = mixture.shares(evidence.counts[evidence.counts.sum(1) > 0], evidence.ratios)
            return Part(part, float(shares.mean()), evidence.own, rule=rule, evidence=evidence.as_json())
        share = evidence.share(self.how, part)
        cut = threshold(evidence.cases.mean(0), share, evidence.posterior, cut=self.how.cut)
        return Part(part, share, evidence.own, threshold=cut, evidence=evidence.as_json())

    def _published(self, part: Region) -> Part:
        """In the order of the cases, one after the other, so that no bit depends on how a sum is taken."""
        cases = shares_of(self.target.of(part))
        own = own_share(cases)
        share = published(self.how.told(part), own)
        cut = threshold(reduce(np.add, cases), share, Posterior(1, 0, 0.5), cut="quantile")
        return Part(part, share, own, threshold=cut)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What source and target say of a part's share.

    Attributes:
        what: the part and what it lies in, for messages.
        counts: (images, bins) of the target.
        cases: (cases, bins) of those that count anything, each with sum 1.
        posterior: calibrated on the source.
        ratios: (bins,) p(l | part) / p(l | rest).
        inside: (cases, bins) of the source.
        outside: likewise.
    """

    what: str
    counts: Floats
    cases: Floats
    posterior: Posterior
    ratios: Floats
    inside: Floats
    outside: Floats

    @classmethod
    def of(cls, calibration: Calibration, part: Region) -> "Evidence":
        """Of a part, after everything has been counted.

        Raises:
            PedsegError: the source does not tell how logits and the part go together.
        """
        what = f"{part.upper()} in {calibration.around[part].upper()}"
        inside, outside = calibration.source.inside.of(part), calibration.source.outside.of(part)
        posterior = fit_posterior(inside, outside, what=what)
        counts = calibration.target.of(part)
        return cls(what, counts, shares_of(counts), posterior, posterior.ratios(centres()), inside, outside)

    @property
    def own(self) -> float:
        """Share that the network finds by itself in the target."""
        return own_share(self.cases)

    def share(self, how: "Variant", part: Region) -> float:
        """As the rule of a variant has it.

        Raises:
            PedsegError: the rule is bbse, and the source's confusion matrix is singular.
        """
        if how.calibration == "bbse":
            return bbse(self.cases, self.inside, self.outside, what=self.what)
        if how.calibration == "map":
            around = np.mean(how.told(Region.TC)) if part is Region.ET else 1.0  # shares are of the whole tumour
            known = min(float(np.mean(how.told(part)) / around), 1.0)
            return posteriori(self.cases, self.ratios, published=known, weight=how.prior_cases)
        return estimated(self.cases, self.ratios)

    def as_json(self) -> dict[str, Any]:
        """What the share rests on; both estimators, whichever is used."""
        try:
            decided: float | None = bbse(self.cases, self.inside, self.outside, what=self.what)
        except PedsegError:
            decided = None
        return {
            "estimated": estimated(self.cases, self.ratios),
            "interval": interval(self.cases, self.ratios),
            "bbse": decided,
            "source": {"share": self.posterior.prior, "slope": self.posterior.slope, "offset": self.posterior.offset},
        }
