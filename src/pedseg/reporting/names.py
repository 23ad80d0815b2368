"""Names of models that fit below a box and beside a bar: what differs between them."""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

LONGEST = 26  # characters that fit
_PART = re.compile(r"[^/,]+")


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Short names by name.

    A name of several settings (``uda/adaptation.dann.alpha_max=1,seed=2``) loses those that all of them have, and the
    groups before a key. What is too long then, or no longer its own, becomes a letter, which `legend_of` explains.
    """
    parts = {name: _PART.findall(name) for name in names}
    common = set.intersection(*(set(found) for found in parts.values())) if len(names) > 1 else set()
    short = {}
    for name, found in parts.items():
        kept = [part for part in found if part not in common or "=" not in part]
        short[name] = ", ".join(re.sub(r"^[\w.]*\.(?=\w+=)", "", part) for part in kept) if len(found) > 1 else name
    letters = (f"{ascii_uppercase[k % 26]}{k // 26 or ''}" for k in range(len(names)))
    taken = list(short.values())
    return {
        name: text if len(text) <= LONGEST and taken.count(text) == 1 else next(letters) for name, text in short.items()
    }


def legend_of(names: Mapping[str, str]) -> str:
    """A sentence that explains the short names which are not the names themselves; nothing if all are."""
    told = [f"{short}: {name}" for name, short in names.items() if short != name]
    return f" {'; '.join(told)}." if told else ""
