"""What files say of themselves: JSON, tables and checkpoints, with values that they cannot have."""

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.faults.mutate import (
    HOSTILE,
    REMOVED,
    SYNTAX,
    checkpoint_leaf,
    flipped,
    json_leaf,
    leaves,
    named,
    raw,
    replaced,
    shown,
    some,
    truncated,
)
from tests.faults.trial import Scene, Trial
from tests.faults.world import (
    BUNDLED,
    CASE,
    CLEARED,
    CLEARED_RUN,
    CONTINUED,
    EVALUATED,
    HALF,
    IMPORTED,
    MENDED,
    PREDICTED,
    RENAMED,
    REPORTED,
    RUN,
    STORED,
    TRAINED,
    VALIDATED,
)

CHECKPOINT = f"{RUN}/checkpoints/last.ckpt"
PTH = "results/fold_0/checkpoint_final.pth"
RECORDS: tuple[tuple[Scene, str], ...] = (
    (PREDICTED, f"{RUN}/config.json"),
    (REPORTED, f"{RUN}/config.json"),
    (CLEARED_RUN, f"{RUN}/config.json"),
    (VALIDATED, f"{RUN}/config.json"),
    (CONTINUED, f"{HALF}/config.json"),
    (TRAINED, "store/ped/index.json"),
    (TRAINED, "store/adult/index.json"),
    (TRAINED, "store/ped/settings.json"),
    (MENDED, "store/ped/index.json"),
    (MENDED, "store/ped/settings.json"),
    (MENDED, f"store/ped/cases/{CASE}/case.json"),
    (IMPORTED, "results/plans.json"),
    (IMPORTED, "results/dataset.json"),
    (EVALUATED, "out/predictions.json"),
    (PREDICTED, "out/predictions.json"),
    (RENAMED, "out/predictions.json"),
    (CLEARED, "out/predictions.json"),
    (CLEARED_RUN, f"{RUN}/predictions/plain/predictions.json"),
    (REPORTED, f"{RUN}/predictions/plain/variant.json"),
    (BUNDLED, f"{RUN}/predictions/plain/variant.json"),
    (REPORTED, f"{RUN}/finished.json"),
)
CHECKPOINTS: tuple[tuple[Scene, str], ...] = (
    (PREDICTED, CHECKPOINT),
    (BUNDLED, CHECKPOINT),
    (STORED, CHECKPOINT),
    (CONTINUED, f"{HALF}/checkpoints/last.ckpt"),
    (IMPORTED, PTH),
)
TABLES: tuple[tuple[Scene, str], ...] = (
    (REPORTED, f"{RUN}/metrics.csv"),
    (REPORTED, f"{RUN}/predictions/plain/scores.csv"),
    (CONTINUED, f"{HALF}/metrics.csv"),
)
STORED_FILES = ("image.b2nd", "label.b2nd", "foreground.npy")


class Descriptions:
    """Families that need to know what the world's files hold.

    Args:
        world: folder of the world.
    """

    def __init__(self, world: Path) -> None:
        self.world = world

    def records(self, rng: random.Random) -> Iterator[Trial]:
        """JSON files: no JSON, other types, and every value of other types and ranges."""
        for one, file in RECORDS:
            scene = _with(one, file)
            for name, content in SYNTAX.items():
                yield Trial("record", f"{name}: {file}", scene, replaced(file, content), _called(file))
            tree = json.loads((self.world / file).read_text())
            for place in some(list(leaves(tree)), 30, rng):
                for value in some([*HOSTILE, REMOVED], 3, rng):
                    what = f"{named(place)}={shown(value)}: {file}"
                    yield Trial("record", what, scene, json_leaf(file, place, value), _called(file, place))

    def checkpoints(self, rng: random.Random) -> Iterator[Trial]:
        """Checkpoints: what they say of their network, of other types and ranges, and files that are none."""
        for scene, file in CHECKPOINTS:
            tree = torch.load(self.world / file, weights_only=False)
            outer = {k: v for k, v in tree.items() if k not in {"state_dict", "network_weights", "optimizer_states"}}
            for place in some(list(leaves(outer)), 40, rng):
                for value in some([*HOSTILE, REMOVED], 3, rng):
                    yield _edited(scene, file, place, value, seal=not file.endswith(".pth") and rng.random() < 0.5)
            for name, content in SYNTAX.items():
                yield Trial("checkpoint", f"{name}: {file}", scene, replaced(file, content), _called(file))

    def tables(self, rng: random.Random) -> Iterator[Trial]:
        """CSV files: cells that hold something else, rows and columns that are missing or too many."""
        for scene, file in TABLES:
            rows = list(csv.reader(io.StringIO((self.world / file).read_text())))
            for name in ("empty", "binary", "no JSON", "UTF-16", "HTML"):
                yield Trial("table", f"{name}: {file}", scene, replaced(file, SYNTAX[name]), _called(file))
            for row in some(list(range(len(rows))), 4, rng):
                for column in some(list(range(len(rows[0]))), 5, rng):
                    for value in some(
                        ["", "x", "nan", "inf", "-1", "1e999", "=1+1", "\x1b[31m", "../../x", "[/b]", "1,2"], 2, rng
                    ):
                        content = _cell(rows, row, column, value)
                        yield Trial(
                            "table",
                            f"{row}.{column}={value!r}: {file}",
                            scene,
                            replaced(file, content),
                            _called(file),
                            right="any",
                            why="another number in a table of scores is a score, too",
                        )
            for name, cut in (
                ("no rows", rows[:1]),
                ("a row twice", [*rows, rows[-1]]),
                ("no first column", [r[1:] for r in rows]),
                ("short row", [*rows[:-1], rows[-1][:2]]),
            ):
                yield Trial(
                    "table",
                    f"{name}: {file}",
                    scene,
                    replaced(file, _csv(cut)),
                    _called(file),
                    right="any",
                    why="a table may be shorter",
                )

    def bits(self, rng: random.Random) -> Iterator[Trial]:
        """Bits flipped and files cut off in prepared arrays and in weights."""
        for scene in (TRAINED, MENDED):
            for cohort in ("ped", "adult") if scene is TRAINED else ("ped",):
                for file in STORED_FILES:
                    if cohort == "ped" and scene is TRAINED and file != "image.b2nd":
                        continue  # no label of the target is read
                    yield from self._bits(scene, self._stored(cohort, rng, file), rng, count=6)
        for scene, file in CHECKPOINTS:
            yield from self._bits(scene, file, rng, count=10)

    def _stored(self, cohort: str, rng: random.Random, file: str) -> str:
        case = rng.choice(sorted(path.name for path in (self.world / "store" / cohort / "cases").iterdir())[:4])
        return f"store/{cohort}/cases/{case}/{file}"

    @staticmethod
    def _bits(scene: Scene, file: str, rng: random.Random, *, count: int) -> Iterator[Trial]:
        for _ in range(count):
            place, bit = rng.random(), rng.randrange(8)
            yield Trial(
                "bits", f"bit {bit} at {place:.4f}: {file}", scene, raw(file, flipped(place, bit)), _called(file)
            )
        for part in (0.0, 0.5, 0.99):
            yield Trial("bits", f"cut at {part}: {file}", scene, raw(file, truncated(part)), _called(file))


def _edited(scene: Scene, file: str, place: tuple[Any, ...], value: Any, *, seal: bool) -> Trial:
    """A checkpoint with another value; one that is sealed anew is what its author wanted."""
    what = f"{named(place)}={shown(value)}{', sealed anew' * seal}: {file}"
    damage = checkpoint_leaf(file, place, value, seal=seal)
    why = "whoever seals a checkpoint anew may write any number of its range into it"
    return Trial("checkpoint", what, scene, damage, _called(file, place), right="any" if seal else "same", why=why)


def _with(scene: Scene, file: str) -> Scene:
    """A scene with a file among its parts."""
    from dataclasses import replace

    present = any(file == part or file.startswith(f"{part}/") for part in scene.parts)
    if present:
        return scene
    return replace(
        scene,
        name=f"{scene.name} beside {file}",
        parts=(*scene.parts, file.rpartition("/")[0] if file.startswith("out/") else file),
    )


def _called(file: str, place: tuple[Any, ...] = ()) -> tuple[str, ...]:
    folder = file.split("/")[-2] if "/" in file else file
    parent = {"last.ckpt": RUN, "case.json": folder, "checkpoint_final.pth": "results"}.get(file.rpartition("/")[2])
    return tuple(name for name in (file.rpartition("/")[2], parent, folder) if name)


def _cell(rows: list[list[str]], row: int, column: int, value: str) -> bytes:
    copied = [list(one) for one in rows]
    copied[row][column] = value
    return _csv(copied)


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
