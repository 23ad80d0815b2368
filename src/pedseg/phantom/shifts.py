"""In what the children of a pair of synthetic cohorts differ from its adults.

A pair has a shift, A to E. Its values stand here before any method is compared on it, and stay; for other values there
are other names. On A methods are developed; nothing is chosen on the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """What the tumours of a cohort are like.

    Attributes:
        population: in conf/population, whose sizes and proportions they have.
        appearance: how far their intensities are from those of adults: 0 not at all, 1 as measured of children.
        anatomy: "adult" or "ped": whose sites they have, and whose pattern of enhancement.
    """

    population: str
    appearance: float
    anatomy: str


ADULTS = Traits("brats_adults", 0.0, "adult")


@dataclass(frozen=True, slots=True)
class Shift:
    """A pair of cohorts, adults and children.

    Attributes:
        about: the children, in words.
        children: their traits.
        seed: of both cohorts, unless another is given.
    """

    about: str
    children: Traits
    seed: int


SHIFTS: Mapping[str, Shift] = {
    "A": Shift("as measured", Traits("brats_peds2023", 1.0, "ped"), 0),
    "B": Shift("a quarter more unlike adults", Traits("brats_peds2023", 1.25, "ped"), 1),
    "C": Shift("most with oedema", Traits("synthetic_oedema", 1.0, "ped"), 2),
    "D": Shift("proportions alone", Traits("brats_peds2023", 0.0, "adult"), 3),
    "E": Shift("appearance alone", Traits("brats_adults", 1.0, "adult"), 4),
}
