"""Ways to damage files: bytes, leaves of JSON and of checkpoints, fields of NIfTI headers."""

import copy
import gzip
import json
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from pedseg.inference.seals import sealed
from tests.faults.world import spoil

Damage = Callable[[Path], object]
CODE = "$__import__('os').system('touch pwned')"
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "x",
    "../../../../escape",
    CODE,
    "\x1b]0;x\x07",
    "=1+cmd|' /C calc'!A0",
    [],
    {},
    [[1, 2], [3]],
    "a" * 5000,
)
REMOVED = object()  # in place of a value: its key goes


def plain_bytes(path: Path) -> bytes:
    """Bytes of a file, decompressed where it is gzipped."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def rewritten(name: str, change: Callable[[bytearray], bytes | bytearray]) -> Damage:
    """Damage of the decompressed bytes of a file."""

    def damage(at: Path) -> None:
        changed = bytes(change(bytearray(plain_bytes(at / name))))
        spoil(at / name, gzip.compress(changed, mtime=0) if name.endswith(".gz") else changed)

    return damage


def raw(name: str, change: Callable[[bytearray], bytes | bytearray]) -> Damage:
    """Damage of the bytes of a file as they lie on the disk."""
    return lambda at: spoil(at / name, bytes(change(bytearray((at / name).read_bytes()))))


def replaced(name: str, content: bytes) -> Damage:
    """Other content in a file."""
    return lambda at: spoil(at / name, content)


def field(name: str, offset: int, form: str, value: Any) -> Damage:
    """Another value in a header."""

    def change(content: bytearray) -> bytearray:
        struct.pack_into(f"<{form}", content, offset, value)
        return content

    return rewritten(name, change)


def flipped(place: float, bit: int) -> Callable[[bytearray], bytearray]:
    """One bit flipped, at a part of the length."""

    def change(content: bytearray) -> bytearray:
        content[min(int(place * len(content)), len(content) - 1)] ^= 1 << bit
        return content

    return change


def truncated(part: float) -> Callable[[bytearray], bytearray]:
    """What is left of a file that was cut off."""
    return lambda content: content[: int(part * len(content))]


def voxels(name: str, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], affine: Any = None) -> Damage:
    """Other voxels in an image, or another affine."""

    def damage(at: Path) -> None:
        image = nib.Nifti1Image.from_bytes(plain_bytes(at / name))
        data = change(np.asarray(image.dataobj).copy())
        moved = image.affine if affine is None else affine(image.affine.copy())
        content = nib.Nifti1Image(data, None, dtype=data.dtype)
        content.header.set_sform(moved, 1)
        with suppress(Exception):  # an affine that no quaternion stands for has no qform
            content.header.set_qform(moved, 1)
        content.header.set_xyzt_units("mm")
        spoil(at / name, gzip.compress(content.to_bytes(), mtime=0))

    return damage


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of everything inside a tree of dicts and lists, tensors left out."""
    if place and not isinstance(value, torch.Tensor):
        yield place
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*place, key))


def changed(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of a tree with another value at a place, or without it."""
    if not place:
        return value
    own = dict(tree) if isinstance(tree, dict) else list(tree)
    if value is REMOVED and len(place) == 1:
        del own[place[0]]
    else:
        own[place[0]] = changed(own[place[0]], place[1:], value)
    return tuple(own) if isinstance(tree, tuple) else own


def json_leaf(name: str, place: tuple[Any, ...], value: Any) -> Damage:
    """Another value at a place of a JSON file."""

    def damage(at: Path) -> None:
        tree = changed(json.loads((at / name).read_text()), place, value)
        spoil(at / name, json.dumps(tree, indent=1).encode())

    return damage


def checkpoint_leaf(name: str, place: tuple[Any, ...], value: Any, *, seal: bool = False) -> Damage:
    """Another value at a place of a checkpoint, which is sealed anew or not."""

    def damage(at: Path) -> None:
        tree = torch.load(at / name, weights_only=False)
        tree = changed(copy.copy(tree), place, value)
        tree = sealed(tree) if seal else tree
        (at / name).unlink()
        torch.save(tree, at / name)

    return damage


def some(values: list[Any], count: int, rng: random.Random) -> list[Any]:
    """At most so many of them, in their order."""
    return [values[i] for i in sorted(rng.sample(range(len(values)), min(count, len(values))))]


def named(place: tuple[Any, ...]) -> str:
    """A place in words."""
    return ".".join(map(str, place))


def shown(value: Any) -> str:
    """A value in few words."""
    return "(removed)" if value is REMOVED else repr(value)[:24]


SYNTAX: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{not json",
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "a text": b'"x"',
    "an empty object": b"{}",
    "binary": bytes(range(256)),
    "UTF-16": "{}".encode("utf-16"),
    "deep": b"[" * 100_000,
    "HTML": b"<!DOCTYPE html><html></html>",
    "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}
