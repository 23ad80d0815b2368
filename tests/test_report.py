"""The report command on runs and on CSV files."""

import subprocess
import sys
from pathlib import Path

import pytest

from pedseg import train
from pedseg.report import main


@pytest.fixture(scope="module")
def runs(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two toy runs of one fold."""
    folder = tmp_path_factory.mktemp("some runs")
    paths = [f"paths.{n}={toy_world / n}" for n in ("adult", "ped", "store")] + [f"paths.runs={folder}"]
    for experiment in ("uda", "m3_mixed_nods"):
        assert train.main(["scale=toy", *paths, f"experiment={experiment}", "trainer.enable_progress_bar=false"]) == 0
    return folder


def test_report_of_runs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "the report"
    assert main([str(runs), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert str(output / "figures") in shown
    page = (output / "report.md").read_text()
    assert "SYNTHETIC" in page.splitlines()[0]
    assert "UDA: 2 cases, 1 of 5 folds" in page
    assert "paper" not in page  # synthetic numbers are not set beside published ones
    names = {path.name for path in (output / "figures").iterdir()}
    assert names == {"scores.png", *(f"{kind}_{m}.png" for kind in ("curves", "slices") for m in ("UDA", "3_star"))}
    for name in names:
        assert f"figures/{name}" in page
        assert (output / "figures" / name).stat().st_size > 10_000
    for number in (2, 3):
        assert {f"table{number}.{end}" for end in ("md", "csv", "tex")} <= {path.name for path in output.iterdir()}
    assert main([str(runs), "--output", str(output)]) == 0  # again, into the same folder


def test_report_of_published_scores(shared: Path, tmp_path: Path) -> None:
    files = [str(shared / "reference" / "per_case" / f"{n}.csv") for n in ("model1_nods", "model3_nods", "uda")]
    sizes = ["--sizes", str(shared / "reference" / "ped_tumor_sizes.csv")]
    assert main([*files, "--output", str(tmp_path), *sizes]) == 0
    page = (tmp_path / "report.md").read_text()
    assert "Without the 22 cases" in page
    assert "Beside the paper" in page
    assert "SYNTHETIC" not in page


def test_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "python -m pedseg.train" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["report", "evaluate", "predict"])
def test_help_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'monai', 'lightning', 'pandas', 'matplotlib', 'nibabel'}"
    code = f"import sys, pedseg.{module} as m; m.parser().format_help(); sys.exit(len({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
