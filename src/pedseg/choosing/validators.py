"""Names of the validators, for command lines and tables; `pedseg.choosing.scores` computes them."""

from collections.abc import Mapping

# Titles of the validators, in the order of the tables.
VALIDATORS: Mapping[str, str] = {
    "source_dice": "source Dice",
    "entropy": "entropy",
    "infomax": "InfoMax",
    "snd": "SND",
    "dev": "DEV",
    "flip_agreement": "flip agreement",
    "checkpoint_agreement": "checkpoint agreement",
    "sizes": "published sizes",  # pedseg.choosing.published_sizes
    "probe_decoder": "probe, decoder",
    "probe_bottleneck": "probe, bottleneck",
}
DEFAULT = "sizes"
