"""Files that are no files, files that are missing or too many, outputs that cannot be written, and hostile names."""

import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.faults.families.descriptions import CHECKPOINT, CHECKPOINTS, RECORDS, TABLES
from tests.faults.families.images import IMAGES, LABELS
from tests.faults.stage import Ended, Stage
from tests.faults.trial import Right, Scene, Trial
from tests.faults.world import (
    BUNDLED,
    CASE,
    CLEARED,
    CONTINUED,
    EVALUATED,
    HALF,
    IMPORTED,
    MENDED,
    PREDICTED,
    PREDICTED_BY_FILE,
    PREPARED,
    RENAMED,
    REPORTED,
    RUN,
    SPLIT,
    STORED,
    TRAINED,
    spoil,
)


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


KINDS: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "folder": Path.mkdir,
    "dangling link": lambda p: p.symlink_to("/nowhere/x"),
    "link to itself": lambda p: p.symlink_to(p.name),
    "/dev/zero": lambda p: p.symlink_to("/dev/zero"),
    "/dev/null": lambda p: p.symlink_to("/dev/null"),
    "/dev/random": lambda p: p.symlink_to("/dev/urandom"),
    "socket": _socket,
    "sparse file of 1 TB": _sparse,
}
WRITING: tuple[tuple[Scene, str], ...] = (
    (PREDICTED, "out"),
    (PREPARED, "store"),
    (EVALUATED, "scores.csv"),
    (TRAINED, "runs"),
    (BUNDLED, "bundle"),
    (STORED, "w.safetensors"),
    (IMPORTED, "runs/theirs"),
    (RENAMED, "named"),
    (CLEARED, "cleared"),
    (REPORTED, "report"),
    (SPLIT, "splits.json"),
)
HOSTILE_NAMES = (
    "a\x1b]0;owned\x07b",
    "a\x1b[31mred",
    "\x9b31mx",
    "a\nb",
    "a\tb",
    "a\rb",
    "\u202egnp",
    "[/b]",
    "[red]x",
    "[link=x]",
    "=1+cmd|x",
    "+1+1",
    "-rf",
    "@SUM(1)",
    "a,b",
    'a"b',
    "a'b",
    "a b",
    "\\x",
    "$(touch pwned)",
    "`touch pwned`",
    "%s%n",
    "{0}",
    "<script>alert(1)</script>",
    "\\input{x}",
    "a&b",
    "|",
    "*",
    "a#b",
    "é",
    "e\u0301",
    "日本",
    "a" * 200,
    ".hidden",
    "~",
    "CON",
    "a;b",
    "$__import__('os')",
)


def special(rng: random.Random) -> Iterator[Trial]:
    """In place of a file that is read: pipes, devices, folders, links to nowhere."""
    files = {(scene.name, file): scene for scene, file in (*IMAGES, *LABELS, *RECORDS, *CHECKPOINTS, *TABLES)}
    for (_, file), scene in files.items():
        for name, make in KINDS.items():
            if "sparse" in name and file.endswith((".json", ".csv")):
                continue
            damage = partial(_instead, file, make)
            blame = tuple(part for part in file.split("/")[-3:] if part not in {"checkpoints", "predictions", "plain"})
            yield Trial("special file", f"{name} as {file}", _beside(scene, file), damage, blame=blame)
    for scene, folder in (
        (PREDICTED, f"cases/{CASE}"),
        (PREPARED, f"ped/{CASE}"),
        (EVALUATED, "labels"),
        (EVALUATED, "out"),
        (PREDICTED, "cases"),
        (IMPORTED, "results"),
    ):
        for name, make in KINDS.items():
            damage, blame = partial(_instead, folder, make), tuple(folder.split("/"))
            right: Right = "any" if "/" in folder and "link" not in name else "refused"
            why = "what is no folder with files is no case"
            yield Trial("special file", f"{name} as {folder}", scene, damage, blame=blame, right=right, why=why)


def _instead(file: str, make: Callable[[Path], object], at: Path) -> None:
    path = at / file
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)


def _beside(scene: Scene, file: str) -> Scene:
    if any(file == part or file.startswith(f"{part}/") for part in scene.parts):
        return scene
    return replace(
        scene, name=f"{scene.name} beside {file}", parts=(*scene.parts, "out" if file.startswith("out/") else file)
    )


def folders(rng: random.Random) -> Iterator[Trial]:
    """Files missing from stores, runs and cohorts, and foreign ones among them."""
    missing: list[tuple[Scene, str, Right]] = [
        *(
            (MENDED, f"store/ped/cases/{CASE}/{file}", "same")
            for file in ("image.b2nd", "label.b2nd", "foreground.npy", "case.json")
        ),
        *((MENDED, f"store/ped/{file}", "same") for file in ("index.json", "settings.json", "cases")),
        *((TRAINED, f"store/ped/cases/{CASE}/image.b2nd", "refused") for _ in range(1)),
        (TRAINED, "store/ped/index.json", "refused"),
        (TRAINED, "store/adult", "refused"),
        *((CONTINUED, f"{HALF}/{file}", "same") for file in ("config.json", "metrics.csv", "train.log", "checkpoints")),
        *(
            (scene, file, "refused")
            for scene, file in (
                (PREDICTED, CHECKPOINT),
                (BUNDLED, CHECKPOINT),
                (IMPORTED, "results/plans.json"),
                (IMPORTED, "results/dataset.json"),
            )
        ),
        (PREDICTED, "cases", "refused"),
        (EVALUATED, f"labels/{CASE}.nii.gz", "refused"),
        (EVALUATED, f"out/{CASE}.nii.gz", "refused"),
        (EVALUATED, "out/predictions.json", "same"),
        (REPORTED, f"{RUN}/metrics.csv", "same"),
        (REPORTED, f"{RUN}/config.json", "refused"),
        (REPORTED, f"{RUN}/predictions/plain/scores.csv", "refused"),
    ]
    for scene, file, right in missing:
        yield Trial(
            "folder", f"without {file}", scene, partial(_without, file), tuple(file.split("/")[-3:]), right=right
        )
    extra = ("._a.nii.gz", "Thumbs.db", ".DS_Store", "notes.txt", "x.nii.gz.part", "predictions.json~", "desktop.ini")
    for scene, folder in (
        (PREDICTED, f"cases/{CASE}"),
        (PREDICTED, "cases"),
        (PREPARED, f"ped/{CASE}"),
        (EVALUATED, "out"),
        (EVALUATED, "labels"),
        (RENAMED, "out"),
        (MENDED, "store/ped"),
        (MENDED, "store/ped/cases"),
        (TRAINED, "store/ped/cases"),
        (CONTINUED, HALF),
        (REPORTED, RUN),
    ):
        for name in extra:
            yield Trial("folder", f"{name} in {folder}", scene, partial(_with, f"{folder}/{name}"), (name,))
    yield from _overwritten()


def _overwritten() -> Iterator[Trial]:
    """What belongs to somebody else survives ``overwrite``."""
    own = (
        "predictions/plain/mine.nii.gz",
        "checkpoints/mine.ckpt",
        "notes.txt",
        "predictions/mine/x.txt",
        "source_validation/mine.txt",
    )
    again = replace(
        TRAINED,
        name="train overwrite",
        parts=(*TRAINED.parts, RUN),
        command=(*TRAINED.command, "overwrite=true"),
        changes=(f"{RUN}/*",),
    )
    for name in own:
        yield Trial(
            "folder", f"overwrite beside {name}", again, partial(_with, f"{RUN}/{name}"), (name.rpartition("/")[2],)
        )
    other = replace(
        MENDED, name="prepare overwrite", command=(*MENDED.command, "overwrite=true", "data.spacing_mm=[7,7,7]")
    )
    for name in ("notes.txt", "cases/notes.txt", f"cases/{CASE}/notes.txt", "mine/x.txt"):
        yield Trial(
            "folder",
            f"overwrite beside store/ped/{name}",
            other,
            partial(_with, f"store/ped/{name}"),
            (),
            right="any",
            why="prepared anew with another spacing",
        )
    for scene, output in (
        (PREDICTED, "out"),
        (RENAMED, "named"),
        (CLEARED, "cleared/peds2023"),
        (BUNDLED, "bundle"),
        (REPORTED, "report"),
        (IMPORTED, "runs/theirs/fold_0"),
    ):
        forced = replace(scene, name=f"{scene.name} --overwrite", command=(*scene.command, "--overwrite"))
        for name in ("notes.txt", "mine.nii.gz", f"{CASE}.txt"):
            yield Trial(
                "folder", f"--overwrite beside {output}/{name}", forced, partial(_with, f"{output}/{name}"), (name,)
            )


def _with(file: str, at: Path) -> None:
    spoil(at / file, b"mine")


def _without(file: str, at: Path) -> None:
    shutil.rmtree(at / file) if (at / file).is_dir() else (at / file).unlink()


def outputs(rng: random.Random) -> Iterator[Trial]:
    """Outputs that cannot be written: a file or a link in the way, no room, no right; and what is there already."""
    for scene, output in WRITING:
        for name, make in (*KINDS.items(), ("file", lambda p: p.write_bytes(b"mine")), ("link to a file", _linked)):
            if name == "folder" and "." not in output:
                continue
            yield Trial("output", f"{name} at {output}", scene, partial(_instead, output, make), (output,))
        for size in (2000, 5000, 20_000, 60_000):  # less would cut the messages off, which are files here
            how = {"limits": {"RLIMIT_FSIZE": size}}
            yield Trial("output", f"no more than {size} bytes a file", scene, _nothing, how=how, play=_full)
        nested = replace(
            scene,
            command=tuple(
                f"/proc/1/nowhere/{output}"
                if word == output
                else word.replace(f"={output}", f"=/proc/1/nowhere/{output}")
                if word.endswith(f"={output}")
                else word
                for word in scene.command
            ),
        )
        yield Trial("output", "below /proc", nested, _nothing, ("/proc/1",), right="refused")
        missing = replace(
            scene,
            command=tuple(
                f"/dev/null/{output}"
                if word == output
                else word.replace(f"={output}", f"=/dev/null/{output}")
                if word.endswith(f"={output}")
                else word
                for word in scene.command
            ),
        )
        yield Trial("output", "below a device", missing, _nothing, ("/dev/null",), right="refused")


def _linked(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"mine")
    path.symlink_to("elsewhere")


def _full(stage: Stage, trial: Trial) -> Ended:
    """With little room it is refused, or right; then, with room, it goes on to the right output."""
    first = trial.scene.run(stage, **trial.how)
    if first.code in (0, 1) or "Traceback" in first.err:
        return first
    return first


def _nothing(at: Path) -> None:
    del at


def names(rng: random.Random) -> Iterator[Trial]:
    """Names of cases, files and folders that terminals, tables, markup and paths would take for something else."""
    for name in HOSTILE_NAMES:
        yield Trial(
            "name",
            f"case {name!r}",
            PREDICTED_BY_FILE,
            partial(_renamed_case, "cases", name),
            right="any",
            why="output under another name",
        )
        yield Trial(
            "name",
            f"case {name!r}",
            PREPARED,
            partial(_renamed_case, "ped", name),
            right="any",
            why="output under another name",
        )
        yield Trial(
            "name",
            f"case {name!r}",
            SPLIT,
            partial(_renamed_case, "ped", name),
            right="any",
            why="output under another name",
        )
        yield Trial(
            "name",
            f"label map {name!r}",
            EVALUATED,
            partial(_renamed_map, name),
            right="any",
            why="output under another name",
        )
        yield Trial(
            "name",
            f"label map {name!r}",
            RENAMED,
            partial(_renamed_map, name),
            right="any",
            why="output under another name",
        )
        yield Trial(
            "name",
            f"bad image of case {name!r}",
            PREDICTED_BY_FILE,
            partial(_renamed_case, "cases", name, damaged=True),
            right="any",
            why="other cases only",
        )
        yield Trial(
            "name", f"run {name!r}", REPORTED, partial(_renamed_run, name), right="any", why="output under another name"
        )
    for text in (b"\xff\xfe", b"a\xe9b", b"\x80"):
        for scene, folder in ((PREDICTED_BY_FILE, "cases"), (PREPARED, "ped"), (SPLIT, "ped")):
            damage = partial(_renamed_case, folder, os.fsdecode(text))
            yield Trial("name", f"case {text!r}", scene, damage, right="any", why="output under another name")
        yield Trial(
            "name",
            f"label map {text!r}",
            EVALUATED,
            partial(_renamed_map, os.fsdecode(text)),
            right="any",
            why="output under another name",
        )


def _renamed_case(folder: str, name: str, at: Path, *, damaged: bool = False) -> None:
    """The first case under another name, its files too; one of a name that cannot be stays as it is."""
    target = at / folder / name
    try:
        (at / folder / CASE).rename(target)
        for file in list(target.iterdir()):
            file.rename(target / file.name.replace(CASE, name))
    except (OSError, ValueError):
        return
    if damaged:
        spoil(next(iter(sorted(target.iterdir()))), b"no image")


def _renamed_map(name: str, at: Path) -> None:
    for folder in ("labels", "out"):
        if (at / folder).exists():
            try:
                (at / folder / f"{CASE}.nii.gz").rename(at / folder / f"{name}.nii.gz")
            except (OSError, ValueError):
                return


def _renamed_run(name: str, at: Path) -> None:
    config = (at / RUN / "config.json").read_text()
    import json

    tree = json.loads(config)
    tree["run_name"] = name
    spoil(at / RUN / "config.json", json.dumps(tree).encode())
    try:
        (at / "runs" / "uda").rename(at / "runs" / name)
    except (OSError, ValueError):
        return
