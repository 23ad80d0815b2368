"""Fixtures shared by all tests."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.exactness import Collector, exact, note_report

__all__ = ["exact"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that `make exactness` uses."""
    parser.addoption(
        "--exactness", type=Path, metavar="FILE", help="write what comparisons with peers measured, as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Gather measurements in the process that reports."""
    output = config.getoption("--exactness")
    if output and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(output), "exactness")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the report of a marked test its rows."""
    report = yield
    note_report(item, report)
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference material that lies beside the checkout; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("PEDSEG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference material at {folder} (set PEDSEG_SHARED)")
    return folder


@pytest.fixture(scope="session")
def peers_python() -> Path:
    """Interpreter of the environment that holds nnU-Net; tests that compare with it skip where it is absent."""
    python = os.environ.get("PEDSEG_PEERS_PYTHON")
    if not python or not Path(python).exists():
        pytest.skip("no peers' environment (set PEDSEG_PEERS_PYTHON to a Python with nnunetv2)")
    return Path(python)


@pytest.fixture(scope="session")
def toy_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six adults and six children at 8 mm, synthetic, in the official layout and prepared; not to be written to."""
    from pedseg.phantom.__main__ import main as make
    from pedseg.prepare import main as prepare

    world = tmp_path_factory.mktemp("toy world")
    assert make(["--output", str(world), "--adults", "6", "--children", "6", "--spacing", "8", "--workers", "1"]) == 0
    paths = [f"paths.{name}={world / name}" for name in ("adult", "ped", "store")]
    assert prepare(["scale=toy", *paths, "workers=1"]) == 0
    return world
