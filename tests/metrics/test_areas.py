"""Areas of the pieces of a surface against the reference table and values by hand."""

import itertools

import numpy as np
import pytest

from pedseg.metrics import surface_area_table
from pedseg.metrics.areas import CORNERS, neighbourhood_codes
from tests.exactness import Exact

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 2.0, 3.0), (2.5, 0.7, 1.3)]


@pytest.mark.exact(
    "Surface area of the 256 neighbourhoods", section="Metrics", peer="surface-distance", tolerance=1e-9, unit="mm²"
)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_areas_equal_the_reference_table(spacing: tuple[float, float, float], exact: Exact) -> None:
    tables = pytest.importorskip("surface_distance.lookup_tables")
    theirs = np.asarray(tables.create_table_neighbour_code_to_surface_area(spacing))
    weights = [int(tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL[corner]) for corner in CORNERS]
    for code in range(256):
        their_code = sum(weight for bit, weight in enumerate(weights) if code >> bit & 1)
        exact(abs(surface_area_table(spacing)[code] - theirs[their_code]))


def test_areas_by_hand() -> None:
    table = surface_area_table((1.0, 1.0, 1.0))
    assert table[0] == table[255] == 0
    assert table[1] == pytest.approx(np.sqrt(3) / 8)  # one corner cut off: a triangle with sides of sqrt(1/2)
    assert table[0b00001111] == pytest.approx(1.0)  # half of the cube
    assert table[0b10000001] == pytest.approx(np.sqrt(3) / 4)  # two opposite corners
    assert np.allclose(table, table[::-1])  # inside and outside are alike


def test_codes_by_hand() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    codes = neighbourhood_codes(mask)
    assert codes.shape == (2, 2, 2)
    for z, y, x in itertools.product((0, 1), repeat=3):
        assert codes[z, y, x] == 1 << CORNERS.index((1 - z, 1 - y, 1 - x))
