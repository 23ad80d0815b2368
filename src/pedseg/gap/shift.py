"""Which shift the synthetic cohorts of a benchmark have, as the note beside them says."""

from pedseg.files import read_json
from pedseg.gap.benchmark import Benchmark
from pedseg.phantom.cohort import NOTE
from pedseg.phantom.shifts import SHIFTS

DEVELOPED_ON = "A"


def shift_text(benchmark: Benchmark) -> str:
    """A sentence on the shift, and whether anything was chosen on it; empty where nobody knows.

    Raises:
        PedsegError: the note is damaged.
    """
    data = benchmark.lower.settings.data
    folder = data.cohorts[data.evaluation].folder
    if folder is None or not (folder / NOTE).exists():
        return ""
    name = read_json(folder / NOTE).get("settings", {}).get("shift")
    if name not in SHIFTS:
        return ""
    chosen = (
        "Methods, weights and validators were developed on it"
        if name == DEVELOPED_ON
        else "No method, weight or validator was chosen on it"
    )
    return f"Shift {name}, children: {SHIFTS[name].about}. {chosen}."
