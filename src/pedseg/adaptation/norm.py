"""Batch norms whose statistics are those of one domain (AdaBN: Li et al. 2016; DSBN: Chang et al. 2019)."""

from pedseg.adaptation.method import Method, Stage, Takes, batch_norms
from pedseg.errors import PedsegError
from pedseg.networks import SegmentationNetwork


class DomainNorm(Method):
    """Each domain is normalised by its own batch, and the network keeps the running statistics of the target alone.

    The two sides of a batch go through the network one after the other, so that each is normalised with the mean and
    variance of its own domain (Chang et al. 2019, section 3.2). Scale and shift are shared, as in AdaBN (Li et al.
    2016, section 3.2): the source alone has labels to learn them from. What is predicted later comes from the target
    and meets its statistics. So do held-out source cases: their Dice reads lower than the network could reach.
    """

    stage = Stage.NORMS
    takes = Takes.STATISTICS
    separates_domains = True

    def start(self, network: SegmentationNetwork) -> None:
        """Look for batch norms.

        Raises:
            PedsegError: there is none; instance norms know no domain.
        """
        if not batch_norms(network):
            raise PedsegError(
                "it adapts the statistics of batch norms and this network has none; give model.norm=batch"
            )
