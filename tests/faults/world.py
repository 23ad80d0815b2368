"""The small world that trials damage copies of, and the commands that are tried on it."""

import json
import shutil
from pathlib import Path

import torch

from tests.faults.stage import Stage
from tests.faults.trial import Scene
from tests.faults.verdict import Reference, outputs_of, snapshot

PATHS = ("paths.adult=adult", "paths.ped=ped", "paths.store=store", "paths.runs=runs")
TOY = ("scale=toy", *PATHS, "trainer.enable_progress_bar=false")
UDA = (*TOY, "experiment=uda", "fold=1", "run_name=uda", "prediction.mirror=false", "trainer.max_epochs=2")
RUN = "runs/uda/fold_1"
TARGET_LABELS = r"ped/BraTS-PED-9000[12346]-000/.*seg"  # fold 1 evaluates the fifth child
HALF = "half/uda/fold_1"
CASE, OTHER = "BraTS-PED-90001-000", "BraTS-PED-90002-000"
CHILDREN = tuple(f"BraTS-PED-9000{number}-000" for number in range(1, 7))
PREDICT = ("predict", "--no-mirror", "--device", "cpu", "--input", "cases", "--output", "out")
IN_RUN = tuple(f"{HALF}/{name}" for name in ("metrics.csv", "train.log", "config.json", "checkpoints/last.ckpt"))

PREDICTED = Scene(
    "predict",
    ("cases", f"{RUN}/checkpoints", f"{RUN}/config.json"),
    (*PREDICT, "--run", RUN),
    writes=("out", "out/*"),
    outputs=("out/*.nii.gz",),
)
PREDICTED_BY_FILE = Scene(
    "predict --checkpoint",
    ("cases", f"{RUN}/checkpoints"),
    (*PREDICT, "--checkpoint", f"{RUN}/checkpoints/last.ckpt"),
    writes=("out", "out/*"),
    outputs=("out/*.nii.gz",),
)
PREPARED = Scene(
    "prepare",
    ("ped",),
    ("prepare", "scale=toy", "cohort=[ped]", "paths.ped=ped", "paths.store=store", "workers=1"),
    writes=("store/*",),
    outputs=("store/**/*.b2nd", "store/**/*.npy"),
)
MENDED = Scene(
    "prepare again",
    ("ped", "store"),
    PREPARED.command,
    writes=("store/ped/*",),
    changes=("store/ped/*",),
    outputs=PREPARED.outputs,
)
CHECKED = Scene("prepare --check", ("ped",), (*PREPARED.command, "--check"), writes=(), outputs=())
EVALUATED = Scene(
    "evaluate",
    ("out", "labels"),
    ("evaluate", "--predictions", "out", "--labels", "labels", "--output", "scores.csv", "--workers", "1"),
    writes=("scores.csv",),
    outputs=("scores.csv",),
)
TRAINED = Scene(
    "train",
    ("ped", "adult", "store"),
    ("train", *UDA),
    writes=("runs/*",),
    forbidden=TARGET_LABELS,
    outputs=(f"{RUN}/checkpoints/last.ckpt", f"{RUN}/predictions/plain/*"),
)
CONTINUED = Scene(
    "train on",
    ("ped", "adult", "store", HALF),
    ("train", *UDA, "paths.runs=half"),
    forbidden=TARGET_LABELS,
    writes=(f"{HALF}/*",),
    changes=IN_RUN,
    outputs=(f"{HALF}/checkpoints/last.ckpt", f"{HALF}/predictions/plain/*.nii.gz"),
)
BUNDLED = Scene(
    "to-bundle",
    (RUN,),
    ("convert", "to-bundle", RUN, "--output", "bundle"),
    writes=("bundle", "bundle/*"),
    outputs=("bundle/**/inference*.json", "bundle/**/*.py", "bundle/**/*.pt"),
)
STORED = Scene(
    "to-safetensors",
    (RUN,),
    ("convert", "to-safetensors", RUN, "--output", "w.safetensors"),
    writes=("w.safetensors",),
    outputs=("w.safetensors",),
)
IMPORTED = Scene(
    "from-nnunet",
    ("results",),
    ("convert", "from-nnunet", "results", "--output", "runs/theirs"),
    writes=("runs", "runs/*"),
    outputs=("runs/theirs/**/last.ckpt",),
)
RENAMED = Scene(
    "convert predictions",
    ("out",),
    ("convert", "predictions", "out", "--naming", "nnunet", "--output", "named"),
    writes=("named", "named/*"),
    outputs=("named/*.nii.gz",),
)
CLEARED = Scene(
    "postprocess",
    ("out",),
    ("postprocess", "--predictions", "out", "--output", "cleared", "--rules", "peds2023", "--workers", "1"),
    writes=("cleared", "cleared/*"),
    outputs=("cleared/**/*.nii.gz",),
)
CLEARED_RUN = Scene(
    "postprocess RUN",
    (RUN, "ped", "store"),
    ("postprocess", RUN, "--rules", "peds2023", "--workers", "1"),
    writes=(f"{RUN}/predictions/peds2023", f"{RUN}/predictions/peds2023/*"),
    outputs=(f"{RUN}/predictions/peds2023/*",),
)
REPORTED = Scene(
    "report",
    ("runs",),
    ("report", "runs", "--output", "report"),
    writes=("report", "report/*"),
    outputs=("report/*.csv", "report/*.md"),
)
VALIDATED = Scene(
    "validate",
    ("runs", "store", "ped", "adult"),
    ("validate", "runs", "--device", "cpu", "--cases", "2"),
    writes=(f"{RUN}/predictions/plain/validators*",),
    outputs=(f"{RUN}/predictions/plain/validators.json",),
)
SPLIT = Scene(
    "convert splits",
    ("ped",),
    ("convert", "splits", "ped", "--output", "splits.json"),
    writes=("splits.json",),
    outputs=("splits.json",),
)
SCENES = (
    PREDICTED,
    PREDICTED_BY_FILE,
    PREPARED,
    MENDED,
    CHECKED,
    EVALUATED,
    TRAINED,
    CONTINUED,
    BUNDLED,
    STORED,
    IMPORTED,
    RENAMED,
    CLEARED,
    CLEARED_RUN,
    REPORTED,
    VALIDATED,
    SPLIT,
)


def build(stage: Stage) -> None:
    """Make the world with the commands themselves, where the stage stands, so that paths stay true; then keep it.

    Raises:
        RuntimeError: a command failed.
    """
    shutil.rmtree(stage.world, ignore_errors=True)
    at = stage.set(())
    made = [
        ("phantom", "--output", ".", "--adults", "6", "--children", "6", "--spacing", "8", "--workers", "1"),
        ("prepare", *TOY[:-1], "workers=1"),
        ("train", *UDA),
    ]
    for command in made:
        _do(stage, command)
    _do(stage, ("train", *UDA, "paths.runs=half", "trainer.max_steps=2"), code=3)
    for case in CHILDREN[:2]:
        shutil.copytree(at / "ped" / case, at / "cases" / case)
        (at / "cases" / case / f"{case}-seg.nii.gz").unlink()
        (at / "labels").mkdir(exist_ok=True)
        shutil.copy2(at / "ped" / case / f"{case}-seg.nii.gz", at / "labels" / f"{case}.nii.gz")
    _do(stage, PREDICTED.command + ("--run", RUN) * ("--run" not in PREDICTED.command))
    _write_results(at)
    shutil.copytree(at, stage.world, symlinks=True)
    shutil.rmtree(stage.world / "home")


def _do(stage: Stage, command: tuple[str, ...], *, code: int = 0) -> None:
    (ended,) = stage.run([stage.prepared(command)], limit_s=300)
    if ended.code != code:
        raise RuntimeError(f"{' '.join(command)}: exit code {ended.code}\n{ended.err[-3000:]}")


def _write_results(at: Path) -> None:
    """A result folder of nnU-Net with the weights of a network of its own."""
    from tests.interop.nnunet.world import plans, random_network, write_results

    torch.manual_seed(0)
    patch = (16, 16, 16)
    write_results(at / "results", {"0": random_network(patch)}, plans=plans(patch, spacing=(8.0, 8.0, 8.0)))


def reference(stage: Stage, scene: Scene) -> Reference:
    """What a scene gives when nothing is wrong.

    Raises:
        RuntimeError: it fails, or does what trials are blamed for.
    """
    at = stage.set(scene.parts)
    before = snapshot(at)
    ended = scene.run(stage)
    after = snapshot(at)
    if ended.code or ended.deeds or before.keys() - after.keys():
        told = json.dumps({"deeds": ended.deeds, "gone": sorted(before.keys() - after.keys())})
        raise RuntimeError(f"{scene.name}: exit code {ended.code}, {told}\n{ended.err[-3000:]}")
    return Reference(outputs_of(at, scene.outputs), ended)


def spoil(path: Path, content: bytes) -> None:
    """Put other content in a file, and in no other that it was copied from."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
