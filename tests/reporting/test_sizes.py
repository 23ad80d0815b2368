"""Sizes of tissues from scores and from files."""

from pathlib import Path

import pandas as pd
import pytest

from pedseg.errors import PedsegError
from pedseg.reporting.rows import Model
from pedseg.reporting.sizes import find_sizes, read_sizes, sizes_of, small_cases

PUBLISHED = "ID,Region,Number of voxels,Domain\na,NC,30,PED\na,ED,0,PED\na,ET,59,PED\na,ET,59,PED\nb,ET,60,PED\n"


def test_sizes_from_scores() -> None:
    volumes = {
        ("a", "wt"): 100.0,
        ("a", "tc"): 70.0,
        ("a", "et"): 59.9,
        ("b", "wt"): 80.0,
        ("b", "tc"): 80.0,
        ("b", "et"): 60.0,
    }
    rows = [{"case": c, "region": r, "dice": 1, "hd95_mm": 0, "label_volume_mm3": v} for (c, r), v in volumes.items()]
    sizes = sizes_of([Model("x", pd.DataFrame(rows)), Model("y", pd.DataFrame(rows))])
    assert list(sizes.index) == ["a", "b"]
    a, b = sizes[["et", "nc", "ed"]].to_numpy(dtype=float)
    assert a.tolist() == pytest.approx([59.9, 10.1, 30.0])
    assert b.tolist() == [60.0, 20.0, 0.0]
    assert set(sizes["cohort"]) == {"ped"}
    assert small_cases(sizes, below_mm3=60) == {"a"}
    assert not len(sizes_of([Model("z", pd.DataFrame(rows).drop(columns="label_volume_mm3"))]))


def test_sizes_from_files(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text(PUBLISHED)
    (tmp_path / "adult.csv").write_text("ID,Region,Number of voxels\nc,ET,7\n")
    sizes = read_sizes([tmp_path / "sizes.csv", tmp_path / "adult.csv"])
    assert sizes["et"].to_dict() == {"a": 59, "b": 60, "c": 7}
    assert sizes["cohort"].to_dict() == {"a": "ped", "b": "ped", "c": "adult"}
    assert small_cases(sizes, below_mm3=60) == {"a", "c"}
    assert find_sizes([tmp_path]) == [tmp_path / "adult.csv", tmp_path / "sizes.csv"]
    assert not len(read_sizes([]))


def test_unusable_files(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("ID,Region\na,ET\n")
    with pytest.raises(PedsegError, match="Number of voxels"):
        read_sizes([tmp_path / "x.csv"])
    (tmp_path / "y.csv").write_text("ID,Region,Number of voxels\na,NC,3\n")
    with pytest.raises(PedsegError, match="no ET row for case a"):
        read_sizes([tmp_path / "y.csv"])
