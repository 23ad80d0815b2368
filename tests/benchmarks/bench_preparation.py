"""Time preparing a cohort with the whole command, on two processes, against nnU-Net's ``plan_and_preprocess``.

Run: ``python -m tests.benchmarks.bench_preparation [--case FOLDER]``, where FOLDER holds one
labelled case; without it a real one is taken from the reference material, or a synthetic one at 1 mm is made. Every
case of the cohort is that case with one voxel changed, since copies are refused. Both commands run on a smaller and a
larger cohort, in turn: the difference is what one more case costs, the total holds the start of the programs too.
nnU-Net extracts its fingerprint, plans and preprocesses 3d_fullres, without its check of the data; pedseg checks all
files first. Bytes are those of the prepared images, beside their float32 array.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from pedseg.cases import Case, find_cases
from pedseg.data.store import IMAGE, CohortStore
from pedseg.files import write_json
from pedseg.hardware import describe_machine
from pedseg.imaging import read_label
from tests.benchmarks.bench_store import synthetic_case
from tests.conftest import find_peers_python, reference_folder

WORKERS = 2
COHORT = "Dataset501_Cohort"
REAL = "UPENN-GBM-00006_11"  # the labelled case of the reference material
PEER_ARGUMENTS = ("-d", "501", "-c", "3d_fullres", "-np", str(WORKERS), "-npfp", str(WORKERS))
PEER_PROGRAM = (
    "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as run\n"
    "if __name__ == '__main__': run()\n"
)


class Cost(NamedTuple):
    """What a command took: seconds on the clock, and seconds of processors by it and its processes."""

    wall_s: float
    cpu_s: float


def make_cohort(case: Case, folder: Path, number: int) -> Path:
    """Write `number` cases in nnU-Net's raw layout, which both commands read: labels 0-3, one voxel of T1 changed."""
    assert case.label is not None
    first = nib.load(case.images[0].path)
    voxels = np.asanyarray(first.dataobj)
    label = read_label(case.label).T.astype(np.uint8)
    label[label == 4] = 3
    raw = folder / "raw" / COHORT
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    others = [image.path.read_bytes() for image in case.images[1:]]
    place = tuple(np.argwhere(voxels > 1)[0])
    for index in range(number):
        name, changed = f"case_{index:03d}", voxels.copy()
        changed[place] += index
        nib.save(nib.Nifti1Image(changed, first.affine, first.header), raw / "imagesTr" / f"{name}_0000.nii.gz")
        for channel, content in enumerate(others, 1):
            (raw / "imagesTr" / f"{name}_{channel:04d}.nii.gz").write_bytes(content)
        nib.save(nib.Nifti1Image(label, first.affine), raw / "labelsTr" / f"{name}.nii.gz")
    names = {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}
    labels = {"background": 0, "NCR": 1, "ED": 2, "ET": 3}
    record = {"channel_names": names, "labels": labels, "numTraining": number, "file_ending": ".nii.gz"}
    write_json(raw / "dataset.json", record)
    return raw


def time_command(command: Sequence[str], folder: Path, **environment: str) -> Cost:
    """Run a command with one thread per process."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, check=False, env=variables, cwd=folder, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return Cost(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def time_ours(raw: Path, folder: Path) -> Cost:
    """Cost of ``pedseg prepare`` on one cohort."""
    cohort = "data.cohorts={adult:{folder:'" + str(raw) + "',labelled:true,convention:brats2023}}"
    arguments = ["~data.cohorts", f"+{cohort}", f"paths.store={folder / 'store'}", f"workers={WORKERS}"]
    return time_command([sys.executable, "-m", "pedseg.prepare", *arguments], folder)


def time_peer(python: Path, raw: Path, folder: Path) -> Cost:
    """Cost of nnU-Net's command, all of it."""
    program = folder / "plan_and_preprocess.py"
    program.write_text(PEER_PROGRAM, encoding="utf-8")
    places = {"raw": raw.parent, "preprocessed": folder / "preprocessed", "results": folder / "results"}
    variables = {f"nnUNet_{name}": str(place) for name, place in places.items()}
    return time_command([str(python), str(program), *PEER_ARGUMENTS], folder, **variables)


def share_of_float32(store: Path) -> float:
    """Bytes of the prepared images over those of their float32 arrays."""
    cohort = CohortStore(store / "adult")
    cases = [cohort.open(case_id) for case_id in cohort.case_ids]
    stored = sum((case.folder / IMAGE).stat().st_size for case in cases)
    return stored / sum(4 * len(case.mean) * int(np.prod(case.shape)) for case in cases)


def measure(case: Case, numbers: Sequence[int], rounds: int, python: Path | None) -> dict[tuple[str, int], list[Cost]]:
    """Cost of each round by side and number of cases, the sides in turn; nnU-Net only where it is installed."""
    found: dict[tuple[str, int], list[Cost]] = defaultdict(list)
    for number in [n for _ in range(rounds) for n in numbers]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            raw = make_cohort(case, folder, number)
            found["pedseg", number].append(time_ours(raw, folder))
            print(f"images take {share_of_float32(folder / 'store'):.3f} of their float32 arrays")
            if python:
                found["nnU-Net", number].append(time_peer(python, raw, folder))
    return found


def compare(found: Mapping[tuple[str, int], list[Cost]], few: int, many: int, field: str) -> dict[str, float]:
    """Medians of one kind of seconds, printed: of the smaller and the larger cohort, and of one further case."""
    medians = {key: statistics.median(getattr(cost, field) for cost in costs) for key, costs in found.items()}
    rows: dict[str, float] = {}
    for side in dict.fromkeys(side for side, _ in medians):
        a, b = medians[side, few], medians[side, many]
        rows |= {f"{side} {few}": a, f"{side} {many}": b, f"{side} further case": (b - a) / (many - few)}
        print(f"{field} {side}: {few} cases {a:.1f}, {many} cases {b:.1f}, a further case {(b - a) / (many - few):.2f}")
    for what in (str(few), str(many), "further case"):
        if f"nnU-Net {what}" in rows:
            rows[f"ratio {what}"] = rows[f"pedseg {what}"] / rows[f"nnU-Net {what}"]
            print(f"{field} ratio, {what}: {rows[f'ratio {what}']:.2f}")
    return rows


def labelled_case(given: Path | None, folder: Path) -> Case:
    """The case in `given`, else a real one, else a synthetic one that is made in `folder`."""
    reference = reference_folder()
    if given is None and reference is not None:
        given = reference / "real" / REAL
    if given is None:
        synthetic_case(folder)
        given = folder / "adult"
    return find_cases(given, cohort="case", labelled=True).cases[0]


def main() -> None:
    """Print what both commands take, and ratios; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, help="folder of a labelled case")
    parser.add_argument("--cases", type=int, nargs=2, default=[8, 40], help="sizes of the two cohorts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the seconds")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        case = labelled_case(arguments.case, Path(name))
        found = measure(case, arguments.cases, arguments.rounds, find_peers_python())
    few, many = arguments.cases
    rows = {field: compare(found, few, many, field) for field in Cost._fields}
    if arguments.json:
        write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
