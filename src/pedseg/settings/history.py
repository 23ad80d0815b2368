"""Settings as they were called before, lifted to their present names: runs of before are read, and go on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pedseg.errors import PedsegError
from pedseg.settings.targets import TARGET

# Until methods had their settings below their names: which were on was a mapping, and those of dann lay beside it.
SWITCHES = "methods"
ADVERSARY_KEYS = (
    "alpha_max", "alpha_start", "alpha_end", "lambda_domain", "decoder_stage", "reads", "classifier",
)  # fmt: skip
CLASSES = {
    "fourier": "FourierStyle",
    "histogram": "HistogramStyle",
    "strong": "StrongAugmentation",
    "norm": "DomainNorm",
    "dann": "DomainAdversary",
    "mean_teacher": "MeanTeacher",
    "entropy": "EntropyMinimisation",
    "prior": "SizePrior",
}
OVERRIDE = re.compile(r"(?P<sign>[+~]*)(?P<key>[\w./@]+)(?P<value>=.*)?", re.DOTALL)


def lifted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run with the present names; one that has them stays as it is."""
    adaptation = config.get("adaptation")
    if not isinstance(adaptation, Mapping) or SWITCHES not in adaptation:
        return dict(config)
    on = [name for name, chosen in adaptation[SWITCHES].items() if chosen]
    return {**config, "adaptation": {name: _method(name, adaptation) for name in on}}


def _method(name: str, adaptation: Mapping[str, Any]) -> dict[str, Any]:
    own = adaptation.get(name, {})
    if name == "dann":
        own = {key: adaptation[key] for key in ADVERSARY_KEYS if key in adaptation}
    return {TARGET: f"pedseg.adaptation.{CLASSES.get(name, name)}", **own}


def moved(key: str) -> str | None:
    """Present name of a setting that was called `key`; None if it never was one."""
    group, _, rest = key.partition(".")
    first, _, deeper = rest.partition(".")
    if group == "adaptation" and first in ADVERSARY_KEYS:
        return f"adaptation.dann.{rest}"
    if group == "adaptation" and first == SWITCHES:
        return f"adaptation.{deeper}" if deeper else "adaptation"
    return None


def refuse_moved(overrides: Sequence[str]) -> None:
    """Refuse settings that have another name now.

    Args:
        overrides: of the command line, as Hydra takes them.

    Raises:
        PedsegError: there is one; it gives the present name.
    """
    for override in overrides:
        parts = OVERRIDE.fullmatch(override)
        new = moved(parts["key"]) if parts else None
        if parts and new:
            raise PedsegError(
                f"{override}: {_advice(parts['key'], new, sign=parts['sign'], value=parts['value'] or '')}"
            )


def _advice(key: str, new: str, *, sign: str, value: str) -> str:
    if not key.startswith(f"adaptation.{SWITCHES}"):
        return f"{key} is {new} now; give {sign}{new}{value}"
    name = new.removeprefix("adaptation").lstrip(".") or "NAME"
    return (
        f"methods are switched off by ~adaptation.{name} and chosen by adaptation={name}, or adaptation=[..., {name}]"
    )
