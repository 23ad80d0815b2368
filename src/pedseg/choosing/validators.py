"""The validators by name, for command lines and tables; `pedseg.choosing.scores` computes them."""

from collections.abc import Mapping

_DECLARED = (  # name, title, and what `pedseg validate --help` says of it; in the order of the tables
    ("source_dice", "source Dice", "the baseline"),
    ("entropy", "entropy", "Morerio 2018"),
    ("infomax", "InfoMax", "Krause 2010"),
    ("soft_dice", "soft-Dice confidence", "Dice of probabilities and the masks that they give, Borges 2024"),
    ("snd", "SND", "soft neighbourhood density, Saito 2021"),
    ("dev", "DEV", "importance-weighted source risk, You 2019"),
    ("flip_agreement", "flip agreement", "with the predictions of mirrored images"),
    (
        "checkpoint_agreement",
        "checkpoint agreement",
        "with the majority of the other runs given that were validated on the same cases",
    ),
    (
        "sizes",
        "published sizes",
        "closeness of the predicted ones to those of the target's population, worth as much as the target resembles it "
        "and flattered where it is the target",
    ),
    (
        "shares",
        "estimated shares",
        "closeness of the predicted TC/WT to what the network's own logits speak for (EM for label shift, Saerens "
        "2002), which a network that is calibrated to it has for nothing",
    ),
    ("probe_decoder", "probe, decoder", "a fresh linear classifier of the domains"),
    ("probe_bottleneck", "probe, bottleneck", "likewise"),
)
VALIDATORS: Mapping[str, str] = {name: title for name, title, _ in _DECLARED}
HELP = "; ".join(f"{title}: {text}" for _, title, text in _DECLARED)
DEFAULT = "sizes"
CASES = 20  # most cases of each domain that are measured
