"""Area of the surface of a mask around each grid point (marching cubes: Lorensen and Cline 1987).

The surface runs between voxels: where the eight voxels around a grid point are not all alike, a piece of surface goes
through, and its area follows from which of them are inside.
"""

import itertools
import math
from collections import defaultdict
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int, int]
Edge = tuple[Corner, Corner]
Loop = tuple[Edge, ...]
Triangle = tuple[int, int, int]
Vector = tuple[float, ...]

CORNERS: tuple[Corner, ...] = tuple(itertools.product((0, 1), repeat=3))  # type: ignore[arg-type]
EDGES: tuple[Edge, ...] = tuple(
    (a, b) for a, b in itertools.combinations(CORNERS, 2) if sum(i != j for i, j in zip(a, b, strict=True)) == 1
)
ALL_INSIDE = (1 << len(CORNERS)) - 1
AMBIGUOUS = 4  # crossed edges of a face whose inside corners lie diagonally
POINTS_OF_TRIANGLE = 3


def neighbourhood_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Code of the eight voxels around every inner grid point of a mask: bit i is set if corner i of `CORNERS` is in.

    Returns:
        Array one shorter than the mask along each axis.
    """
    d, h, w = (n - 1 for n in mask.shape)
    voxels = mask.view(np.uint8)
    codes = np.zeros((d, h, w), dtype=np.uint8)
    for bit, (z, y, x) in enumerate(CORNERS):
        codes |= voxels[z : z + d, y : y + h, x : x + w] << bit
    return codes


@lru_cache(maxsize=16)
def surface_area_table(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Area in mm² of the surface through each of the 256 neighbourhoods.

    The surface crosses edges in their middle. Of four crossed edges in one face, those at the same corner of the
    minority (inside or outside) are connected, so that single corners are cut off one by one. Loops that are not flat
    are divided into the triangles that have the largest area at unit spacing, which are the flat pieces of the loop.
    """
    z, y, x = spacing_mm
    table = np.zeros(ALL_INSIDE + 1)
    for code, normals in enumerate(_area_vectors()):
        table[code] = np.linalg.norm(normals * np.array([y * x, z * x, z * y]), axis=1).sum()
    table.setflags(write=False)
    return table


@cache
def _area_vectors() -> tuple[NDArray[np.float64], ...]:
    """Of each neighbourhood the normals (n, 3) of its triangles at unit spacing, as long as the triangles are large."""
    return tuple(
        np.array([n for loop in _loops(code) for n in _flat_pieces(loop)]).reshape(-1, 3)
        for code in range(ALL_INSIDE + 1)
    )


def _loops(code: int) -> list[Loop]:
    """Closed loops of crossed edges around one grid point."""
    inside = {corner for bit, corner in enumerate(CORNERS) if code >> bit & 1}
    few_inside = len(inside) <= len(CORNERS) // 2
    neighbours: dict[Edge, list[Edge]] = defaultdict(list)
    for axis, side in itertools.product(range(3), (0, 1)):
        corners = [c for c in CORNERS if c[axis] == side]
        crossed = [e for e in EDGES if set(e) <= set(corners) and (e[0] in inside) != (e[1] in inside)]
        minority = [c for c in corners if (c in inside) == few_inside]
        pairs = [[e for e in crossed if c in e] for c in minority] if len(crossed) == AMBIGUOUS else [crossed]
        for pair in filter(None, pairs):
            neighbours[pair[0]].append(pair[1])
            neighbours[pair[1]].append(pair[0])
    return _walk(neighbours)


def _walk(neighbours: dict[Edge, list[Edge]]) -> list[Loop]:
    loops: list[Loop] = []
    waiting = set(neighbours)
    for first in neighbours:
        loop: list[Edge] = []
        following: Edge | None = first if first in waiting else None
        while following is not None:
            loop.append(following)
            waiting.discard(following)
            following = next((edge for edge in neighbours[following] if edge in waiting), None)
        if loop:
            loops.append(tuple(loop))
    return loops


def _flat_pieces(loop: Loop) -> list[Vector]:
    """Normals of the triangles of a loop."""
    points = [tuple((i + j) / 2 for i, j in zip(a, b, strict=True)) for a, b in loop]
    divisions = (
        [_area_vector(points[a], points[b], points[c]) for a, b, c in triangles]
        for triangles in _triangulations(0, len(loop) - 1)
    )
    return max(divisions, key=lambda normals: sum(map(math.hypot, *zip(*normals, strict=True))))


@cache
def _triangulations(first: int, last: int) -> tuple[tuple[Triangle, ...], ...]:
    """All ways to divide the polygon of points `first` to `last` into triangles."""
    if last - first < POINTS_OF_TRIANGLE - 1:
        return ((),)
    return tuple(
        (*before, *after, (first, apex, last))
        for apex in range(first + 1, last)
        for before in _triangulations(first, apex)
        for after in _triangulations(apex, last)
    )


def _area_vector(a: Vector, b: Vector, c: Vector) -> Vector:
    """Half the cross product of two sides of a triangle."""
    (u, v, w), (p, q, r) = ([j - i for i, j in zip(a, end, strict=True)] for end in (b, c))
    return (v * r - w * q) / 2, (w * p - u * r) / 2, (u * q - v * p) / 2
