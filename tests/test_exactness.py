"""The rows of docs/exactness.md: measured, held to their tolerance, and not forgotten."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exactness_page import merge, table

MODULE = """
import pytest

ROW = dict(section="Metrics", peer="numpy")

@pytest.mark.exact("both inputs", **ROW, tolerance=0.5, unit="mm")
@pytest.mark.parametrize("difference", [0.25, 0.125])
def test_within(exact, difference):
    exact(difference)

@pytest.mark.exact("first", **ROW, tolerance=1)
@pytest.mark.exact("second", **ROW, tolerance=2)
def test_two_rows(exact):
    exact(2, "second")
    exact(1, "first")

@pytest.mark.exact("absent peer", **ROW, tolerance=1)
def test_skipped(exact):
    pytest.skip("no such peer")

@pytest.mark.exact("too far", **ROW, tolerance=1)
def test_above(exact):
    exact(1.5)

@pytest.mark.exact("not a number", **ROW, tolerance=1)
def test_nan(exact):
    exact(float("nan"))

@pytest.mark.exact("forgotten", **ROW, tolerance=1)
def test_forgotten(exact):
    pass
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_rows_of_a_run(tmp_path: Path, processes: int) -> None:
    (tmp_path / "test_peers.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = exact")
    output = tmp_path / "rows.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-n",
        str(processes),
        "--exactness",
        str(output),
        "-q",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 failed, 4 passed, 1 skipped, 1 error" in run.stdout
    assert "nothing was measured for forgotten" in run.stdout
    rows = {row["subject"]: row for row in merge(json.loads(output.read_text()))}
    measured = {subject: row["measured"] for subject, row in rows.items()}
    del measured["not a number"]  # failed above
    assert measured == {
        "both inputs": 0.25, "first": 1, "second": 2, "absent peer": None, "too far": 1.5, "forgotten": None
    }  # fmt: skip
    assert rows["absent peer"]["reason"] == "no such peer"
    text = table([rows["both inputs"], rows["absent peer"]])
    assert "| both inputs | numpy | 0.5 mm | 0.25 mm | `test_peers.py::test_within` |" in text
    assert "not run: no such peer" in text
