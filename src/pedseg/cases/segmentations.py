"""Which segmentations are labels: those of the tumour, corrected ones before automated ones."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pedseg.cases.gathered import Gathered
from pedseg.cases.naming import ANATOMY, AUTOMATIC, CORRECTED, OF_A_TUMOUR, without_automatic
from pedseg.cases.spellings import AUTOMATED, LABEL
from pedseg.errors import Problem, Severity

_WORDS = re.compile(r"[-_ .]+")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a segmentation's name says.

    Attributes:
        case: that it is of.
        words: what stands between the case and its role.
        role: LABEL or AUTOMATED, or None if it is of something else than the tumour.
    """

    case: str
    words: str
    role: str | None


def settle_labels(gathered: Gathered, decorated: Mapping[str, str]) -> None:
    """Give each segmentation to the case that it is of, and take away those of something else than the tumour.

    UCSF-PDGM's ``<case>_brain_segmentation`` is none of the tumour, UPENN-GBM's ``<case>_automated_approx_segm`` an
    automated one, which counts where no other is there; both are said.

    Args:
        gathered: whose labels without images are looked at.
        decorated: case → id, where names of images have a word between the id and the role.
    """
    imaged = gathered.imaged
    labelled = {case for case, files in gathered.files.items() if LABEL in files}
    passed_over: dict[str, list[str]] = defaultdict(list)
    for case in [case for case, files in gathered.files.items() if case not in imaged and set(files) == {LABEL}]:
        found = _read(case, imaged, labelled, decorated)
        if found is None:
            continue
        files = gathered.files.pop(case)[LABEL]
        if found.role:
            gathered.files[found.case][found.role] += files
        else:
            passed_over[found.words] += [file.path.name for file in files]
    gathered.findings += [*_not_labels(passed_over), *_automated(gathered)]


def _read(name: str, imaged: Collection[str], labelled: Collection[str], decorated: Mapping[str, str]) -> _Found | None:
    """What the name of a segmentation says; None if it is no more than a case's id."""
    if name in decorated:
        return _Found(decorated[name], "", LABEL)
    case, said = _split(name, imaged) or ("", "")
    words = [word.lower() for word in _WORDS.split(said)]
    if case and not any(re.search(r"\d", word) for word in words):
        return _Found(case, said, _role(words))
    case, said = _split(name, labelled) or ("", "")  # of labels without images, words alone tell
    if case and {word.lower() for word in _WORDS.split(said)} <= ANATOMY:
        return _Found(case, said, None)
    stem = without_automatic(name)
    return _Found(stem, name[len(stem) + 1 :], AUTOMATED) if stem != name else None


def _split(name: str, ids: Collection[str]) -> tuple[str, str] | None:
    """The longest of the ids that a name begins with, and what follows it."""
    cuts = [match.span() for match in _WORDS.finditer(name) if match.start()]
    return next(((name[:start], name[end:]) for start, end in reversed(cuts) if name[:start] in ids), None)


def _role(words: list[str]) -> str | None:
    if not set(words) <= OF_A_TUMOUR | CORRECTED | AUTOMATIC or set(words) & ANATOMY:
        return None
    return AUTOMATED if set(words) & AUTOMATIC else LABEL


def _not_labels(passed_over: Mapping[str, list[str]]) -> Iterator[Problem]:
    for words, names in passed_over.items():
        known = bool(ANATOMY & {word.lower() for word in _WORDS.split(words)})
        yield Problem(
            f"{len(names)} file{'s'[: len(names) > 1]}",
            f"{min(names)}{' …' if len(names) > 1 else ''}",
            f"segmentations called {words!r} are taken for no labels of the tumour, and passed over",
            "if they are the labels, name them <case>_seg, or give a table of the cases",
            Severity.NOTE if known else Severity.WARNING,
        )


def _automated(gathered: Gathered) -> Iterator[Problem]:
    """Say which cases have no other label than an automated one, and which have one besides."""
    both = {case: files for case, files in gathered.files.items() if AUTOMATED in files}
    for alone in (True, False):
        cases = sorted(case for case, files in both.items() if (LABEL not in files) == alone)
        if cases:
            what = "the only segmentation is an automated approximation, which nobody has corrected"
            yield Problem(
                f"{len(cases)} case{'s'[: len(cases) > 1]}",
                f"{both[cases[0]][AUTOMATED][0].path.name}{' …' if len(cases) > 1 else ''}",
                what if alone else "an automated segmentation lies beside the corrected one, which is taken",
                "move the automated ones away to use corrected ones alone" if alone else "nothing has to be done",
                Severity.WARNING if alone else Severity.NOTE,
            )
