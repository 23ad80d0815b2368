"""Fixtures shared by all tests."""

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.exactness import Collector, exact, note_report

if TYPE_CHECKING:
    from pedseg.runs import RunFolder

__all__ = ["exact"]

Trained = Callable[[str], "RunFolder"]
FEW = (  # four steps, after which every method has its strength
    "fold=1", "trainer.max_epochs=4", "trainer.limit_train_batches=1", "prediction.mirror=false",
)  # fmt: skip


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


def reference_folder() -> Path | None:
    """Folder of reference material beside the checkout, or where PEDSEG_SHARED says; None if there is none."""
    folder = Path(os.environ.get("PEDSEG_SHARED", Path(__file__).parents[2] / "shared"))
    return folder if folder.is_dir() else None


def find_peers_python() -> Path | None:
    """Python of the peers' environment, from PEDSEG_PEERS_PYTHON or made by `make peers`; None if there is none."""
    made = Path(__file__).parents[1] / ".peers" / "bin" / "python"
    python = Path(os.environ.get("PEDSEG_PEERS_PYTHON") or made)
    return python if python.exists() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference material; tests that need it skip where it is absent."""
    folder = reference_folder()
    if folder is None:
        pytest.skip("no reference material beside the checkout (set PEDSEG_SHARED)")
    return folder


@pytest.fixture(scope="session")
def peers_python() -> Path:
    """Interpreter of the environment that holds the peers; tests that compare with them skip where it is absent."""
    python = find_peers_python()
    if python is None:
        pytest.skip("no peers' environment (make peers, or set PEDSEG_PEERS_PYTHON)")
    return python


@pytest.fixture(scope="session")
def toy_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six adults and six children at 8 mm, synthetic, in the official layout and prepared; not to be written to."""
    from pedseg.commands.prepare import main as prepare
    from pedseg.phantom.__main__ import main as make

    world = tmp_path_factory.mktemp("toy world")
    assert make(["--output", str(world), "--adults", "6", "--children", "6", "--spacing", "8", "--workers", "1"]) == 0
    paths = [f"paths.{name}={world / name}" for name in ("adult", "ped", "store")]
    assert prepare(["scale=toy", *paths, "workers=1"]) == 0
    return world


@pytest.fixture(scope="session")
def trained(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Runs of experiments by name: each takes four steps when it is first asked for, after the one it starts from."""
    from pedseg.runs import RunFolder
    from tests.composed import experiments
    from tests.training import train

    runs = tmp_path_factory.mktemp("all runs")
    done: dict[str, RunFolder] = {}

    def run(name: str) -> RunFolder:
        if name not in done:
            config = experiments()[name]
            if config["init"]["run"]:
                run(Path(config["init"]["run"]).parent.name)
            assert train(toy_world, runs, f"experiment={name}", f"run_name={name}", *FEW) == 0, name
            (folder,) = (runs / name).iterdir()
            done[name] = RunFolder(folder)
        return done[name]

    return run
