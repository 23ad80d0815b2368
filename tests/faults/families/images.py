"""NIfTI files: header fields, compression, and voxels of images and labels."""

import gzip
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.mutate import field, flipped, raw, replaced, rewritten, truncated, voxels
from tests.faults.trial import Right, Scene, Trial
from tests.faults.world import (
    CASE,
    CHECKED,
    CLEARED,
    EVALUATED,
    OTHER,
    PREDICTED,
    PREPARED,
    RENAMED,
)

T1C = f"{CASE}-t1c.nii.gz"
SEG = f"{CASE}-seg.nii.gz"
# A file of each kind, the command that reads it, and what a message may call it.
IMAGES: tuple[tuple[Scene, str], ...] = (
    (PREDICTED, f"cases/{CASE}/{T1C}"),
    (PREPARED, f"ped/{CASE}/{T1C}"),
    (CHECKED, f"ped/{CASE}/{T1C}"),
)
LABELS: tuple[tuple[Scene, str], ...] = (
    (EVALUATED, f"labels/{CASE}.nii.gz"),
    (EVALUATED, f"out/{CASE}.nii.gz"),
    (PREPARED, f"ped/{CASE}/{SEG}"),
    (RENAMED, f"out/{CASE}.nii.gz"),
    (CLEARED, f"out/{CASE}.nii.gz"),
)
BIG = 2**31 - 1
NUMBERS = (0.0, -1.0, float("nan"), float("inf"), 1e-30, 1e30)
# Offset, type and hostile values of the fields of a NIfTI-1 header.
FIELDS: dict[str, tuple[int, str, tuple[Any, ...]]] = {
    "sizeof_hdr": (0, "i", (0, -1, 347, 540, BIG)),
    "dim[0]": (40, "h", (0, -5, 1, 2, 4, 7, 8, 32767)),
    **{f"dim[{i}]": (40 + 2 * i, "h", (0, -5, 1, 1625, 32767)) for i in (1, 2, 3)},
    **{f"dim[{i}]": (40 + 2 * i, "h", (0, -1, 2, 32767)) for i in (4, 5, 7)},
    "intent_code": (68, "h", (-1, 1001, 32767)),
    "datatype": (70, "h", (0, 1, 2, 8, 16, 32, 64, 128, 256, 768, 1536, 2048, 9999)),
    "bitpix": (72, "h", (0, -1, 1, 8, 64, 32767)),
    "pixdim[0]": (76, "f", (0.0, -7.0, float("nan"), 2.0)),
    **{f"pixdim[{i}]": (76 + 4 * i, "f", (*NUMBERS, 4.0, 8000.0)) for i in (1, 2, 3)},
    "vox_offset": (108, "f", (0.0, -352.0, 300.0, 1e9, float("nan"), float("inf"))),
    "scl_slope": (112, "f", NUMBERS),
    "scl_inter": (116, "f", (-1.0, float("nan"), float("inf"), 1e30)),
    "xyzt_units": (123, "B", (0, 1, 3, 7, 255)),
    "cal_max": (124, "f", NUMBERS),
    "qform_code": (252, "h", (0, -1, 5, 32767)),
    "sform_code": (254, "h", (0, -1, 5, 32767)),
    **{f"quatern_{c}": (256 + 4 * i, "f", (1.0, -1.0, float("nan"), 1e30)) for i, c in enumerate("bcd")},
    **{f"qoffset_{c}": (268 + 4 * i, "f", (1e30, float("nan"))) for i, c in enumerate("xyz")},
    **{f"srow[{i}]": (280 + 4 * i, "f", (0.0, float("nan"), 1e30, 8000.0)) for i in range(12)},
    "magic": (344, "4s", (b"\0\0\0\0", b"ni1\0", b"n+2\0", b"abcd")),
    "extension": (348, "4s", (b"\1\0\0\0", b"\xff\xff\xff\xff")),
}


def headers(rng: random.Random) -> Iterator[Trial]:
    """Each field of a header with hostile values, in an image and in a label map."""
    for name, (offset, form, values) in FIELDS.items():
        for value in values:
            for scene, file in (*IMAGES[:2], *LABELS[:2]):
                damage = field(file, offset, form, value)
                yield Trial("header", f"{name}={value!r} of {file}", scene, damage, blame=_called(file))


def compression(rng: random.Random) -> Iterator[Trial]:
    """Files cut off, with flipped bits, of several members, with bytes behind their end, and bombs."""
    ways: dict[str, Callable[[bytearray], bytes | bytearray]] = {
        "nothing": lambda _: b"",
        "one byte": lambda b: b[:1],
        "magic only": lambda b: b[:2],
        "header only": lambda b: b[:10],
        "no trailer": lambda b: b[:-8],
        "half a trailer": lambda b: b[:-4],
        "garbage behind": lambda b: b + b"garbage" * 9,
        "zeros behind": lambda b: b + bytes(512),
        "other size in trailer": lambda b: b[:-4] + b"\xff\xff\xff\x7f",
        "other CRC": lambda b: b[:-8] + bytes(4) + b[-4:],
        "two members": lambda b: _members(b, 2),
        "many members": lambda b: _members(b, 50),
        "twice": lambda b: b + b,
        "plain under .gz": gzip.decompress,
        "gzipped twice": gzip.compress,
        "bomb of zeros": lambda _: _bomb(),
        "bomb behind": lambda b: b + _bomb(),
        "zeros": lambda b: bytes(len(b)),
        "text": lambda _: b"hello, this is no image\n" * 50,
    }
    for scene, file in (*IMAGES, *LABELS):
        for name, way in ways.items():
            yield Trial("gzip", f"{name}: {file}", scene, raw(file, way), blame=_called(file))
        for _ in range(8):
            part, bit = rng.random(), rng.randrange(8)
            yield Trial("gzip", f"cut at {part:.3f}: {file}", scene, raw(file, truncated(part)), blame=_called(file))
            yield Trial(
                "gzip", f"bit {bit} at {part:.3f}: {file}", scene, raw(file, flipped(part, bit)), blame=_called(file)
            )
        inner = rng.random()
        yield Trial(
            "gzip", f"plain cut at {inner:.3f}: {file}", scene, rewritten(file, truncated(inner)), blame=_called(file)
        )


def _members(content: bytearray, count: int) -> bytes:
    plain = gzip.decompress(content)
    size = len(plain) // count + 1
    return b"".join(gzip.compress(plain[i : i + size], mtime=0) for i in range(0, len(plain), size))


def _bomb(size: int = 300_000_000) -> bytes:
    """A valid header and zeros without end: of 17 million bytes each that is compressed."""
    return gzip.compress(bytes(size), 9, mtime=0)


def images(rng: random.Random) -> Iterator[Trial]:
    """Images of a case that do not go with the others, or hold no anatomy."""
    ways: dict[str, tuple[Callable[[Any], Any], Right]] = {
        "NaN inside": (lambda a: _put(a.astype(np.float32), np.nan), "refused"),
        "inf inside": (lambda a: _put(a.astype(np.float32), np.inf), "refused"),
        "all NaN": (lambda a: np.full(a.shape, np.nan, np.float32), "refused"),
        "all 0": (lambda a: a * 0, "refused"),
        "constant": (lambda a: a * 0 + 7, "refused"),
        "cropped": (lambda a: a[:-1], "refused"),
        "one voxel": (lambda a: a[:1, :1, :1], "refused"),
        "2-D": (lambda a: a[..., 0], "refused"),
        "4-D": (lambda a: np.stack([a, a], -1), "refused"),
        "5-D": (lambda a: a[..., None, None], "same"),
        "complex": (lambda a: a.astype(np.complex64), "refused"),
        "float64": (lambda a: a.astype(np.float64), "same"),
        "int32": (lambda a: a.astype(np.int32), "same"),
        "swapped axes": (lambda a: np.swapaxes(a, 0, 2), "refused"),
        "huge values": (lambda a: _put(a.astype(np.float64), 1e300), "refused"),
        "negative": (lambda a: (-a).astype(np.int16), "any"),
        "bytes swapped": (lambda a: a.byteswap(), "any"),
    }
    shifts: dict[str, Callable[[Any], Any]] = {
        "origin 40 mm off": lambda m: _moved(m, 2, 3, 40),
        "rotated by 0.01": lambda m: _rotated(m, 0.01),
        "sheared": lambda m: _moved(m, 0, 1, 3),
        "spacing 4": lambda m: m @ np.diag([0.5, 0.5, 0.5, 1]),
        "flipped": lambda m: m @ np.diag([-1, 1, 1, 1]),
        "singular": lambda m: m @ np.diag([0, 1, 1, 1]),
        "NaN": lambda m: _moved(m, 0, 3, np.nan),
        "identity": lambda m: np.eye(4),
        "kilometres": lambda m: m @ np.diag([1e6, 1e6, 1e6, 1]),
    }
    for scene, file in IMAGES:
        for name, (way, right) in ways.items():
            why = "the voxels are those of an image of its own" if right == "any" else ""
            yield Trial("image", f"{name}: {file}", scene, voxels(file, way), _called(file), right=right, why=why)
        for name, shift in shifts.items():
            damage = voxels(file, lambda a: a, affine=shift)
            yield Trial("image", f"{name} affine: {file}", scene, damage, _called(file), right="refused")
        yield Trial(
            "image",
            f"copy of t1n as {file}",
            scene,
            partial(_copy, file.replace("t1c", "t1n"), file),
            _called(file),
            right="refused",
        )
        other = file.replace(CASE, OTHER)
        yield Trial(
            "image",
            f"t1n of another child as {file}",
            scene,
            partial(_copy, other.replace("t1c", "t1n"), file),
            right="any",
            why="an image of another child on the same grid looks like one of this child",
        )
        yield Trial("image", f"missing {file}", scene, partial(_gone, file), (CASE,), right="refused")
        background = voxels(file, lambda a: np.where(a == 0, 7, a))
        yield Trial("image", f"big background: {file}", scene, background, (CASE,))


def labels(rng: random.Random) -> Iterator[Trial]:
    """Label maps with values, types, places and grids that they cannot have."""
    ways: dict[str, tuple[Callable[[Any], Any], Right]] = {
        "value 7": (lambda a: _put(a, 7), "refused"),
        "value 255": (lambda a: _put(a, 255), "refused"),
        "value -1": (lambda a: _put(a.astype(np.int16), -1), "refused"),
        "value 1.5": (lambda a: _put(a.astype(np.float32), 1.5), "refused"),
        "value NaN": (lambda a: _put(a.astype(np.float32), np.nan), "refused"),
        "value inf": (lambda a: _put(a.astype(np.float32), np.inf), "refused"),
        "value 1e30": (lambda a: _put(a.astype(np.float32), 1e30), "refused"),
        "value 2**40": (lambda a: _put(a.astype(np.int64), 2**40), "refused"),
        "value 256": (lambda a: _put(a.astype(np.int16), 256), "refused"),
        "as float64": (lambda a: a.astype(np.float64), "same"),
        "as int64": (lambda a: a.astype(np.int64), "same"),
        "as uint64": (lambda a: a.astype(np.uint64), "same"),
        "within 1e-7": (lambda a: (a * np.float32(1 + 1e-7)).astype(np.float32), "same"),
        "complex": (lambda a: a.astype(np.complex64), "refused"),
        "5-D": (lambda a: a[..., None, None], "same"),
        "4-D of two": (lambda a: np.stack([a, a], -1), "refused"),
        "2-D": (lambda a: a[..., 0], "refused"),
        "other shape": (lambda a: a[:-1], "refused"),
        "swapped axes": (lambda a: np.swapaxes(a, 0, 2), "refused"),
        "times 60": (lambda a: a * np.uint8(60), "refused"),
    }
    for scene, file in LABELS:
        alone = scene in (RENAMED, CLEARED)  # no other grid to compare with
        for name, (way, right) in ways.items():
            told: Right = "any" if alone and name in {"other shape", "swapped axes"} else right
            yield Trial(
                "label",
                f"{name}: {file}",
                scene,
                voxels(file, way),
                _called(file),
                right=told,
                why="a grid alone cannot be told",
            )
        for name, shift in {
            "moved by 40 mm": lambda m: _moved(m, 2, 3, 40),
            "spacing 4": lambda m: m @ np.diag([0.5, 0.5, 0.5, 1]),
            "NaN": lambda m: _moved(m, 0, 3, np.nan),
        }.items():
            right = "any" if alone and name != "NaN" else "refused"
            yield Trial(
                "label",
                f"{name}: {file}",
                scene,
                voxels(file, lambda a: a, affine=shift),
                _called(file),
                right=right,
                why="a grid alone cannot be told",
            )
    seg = f"ped/{CASE}/{SEG}"
    inside = "a label that lies in the brain may be this child's"
    down = voxels(seg, lambda a: a[:, :, ::-1])
    yield Trial("label", f"upside down: {seg}", PREPARED, down, _called(seg), right="any", why=inside)
    for name, way in {
        "in a corner": _corner,
        "everywhere": lambda a: a * 0 + 1,
        "outside": lambda a: np.where(a == 0, 2, 0).astype(a.dtype),
    }.items():
        yield Trial("label", f"{name}: {seg}", PREPARED, voxels(seg, way), _called(seg), right="refused")


def _corner(label: Any) -> Any:
    far = label * 0
    far[:3, :3, :3] = 3
    return far


def _put(array: Any, value: float) -> Any:
    array[tuple(n // 2 for n in array.shape)] = value
    return array


def _moved(affine: Any, row: int, column: int, by: float) -> Any:
    affine[row, column] += by
    return affine


def _rotated(affine: Any, angle: float) -> Any:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


def _copy(source: str, target: str, at: Any) -> None:
    replaced(target, (at / source).read_bytes())(at)


def _gone(file: str, at: Path) -> None:
    (at / file).unlink()


def _called(file: str) -> tuple[str, ...]:
    """What a message may call a file: by its name; a table names the case and the file apart."""
    return (file.rpartition("/")[2],)
