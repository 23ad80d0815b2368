"""The report command on runs and on CSV files."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pedseg.cases import find_cases
from pedseg.commands.report import main
from pedseg.evaluation.postprocessing.folders import postprocess_folder
from pedseg.evaluation.scoring import score_cases
from pedseg.files import write_json
from pedseg.inference.postprocessing import RULE_SETS
from pedseg.labels import get_convention
from pedseg.runs import RunFolder
from tests.composed import write_config
from tests.reporting.worlds import write_children, write_run

MODELS = ("UDA", "3_star")
FIGURES = {
    "scores", "sizes", "comparison", "adversary_UDA", "core_rule",
    *(f"slices_{model}" for model in MODELS), *(f"curves_{model}_fold_0" for model in MODELS),
}  # fmt: skip
TABLES = {f"table{number}.{ending}" for number in (2, 3) for ending in ("md", "csv", "tex")}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw faster; that pictures look right is for eyes."""
    monkeypatch.setattr("pedseg.reporting.figures.style.RESOLUTION", 40)


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five synthetic children."""
    folder = tmp_path_factory.mktemp("the children")
    write_children(folder, [f"BraTS-PED-0000{n}-000" for n in range(5)])
    return folder


@pytest.fixture(scope="module")
def runs(children: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one fold."""
    folder = tmp_path_factory.mktemp("some runs")
    write_run(folder / "uda" / "fold_0", children, name="uda", errors=(0, 1, 2, 4, 1))
    write_config(folder / "m2_ped" / "fold_1", run_name="m2_ped")  # not finished
    write_run(folder / "m3_mixed_nods" / "fold_0", children, name="m3_mixed_nods", errors=(1, 1, 3, 9, 0), adapts=False)
    return folder


def test_report_of_runs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "the report"
    assert main([str(runs), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown.splitlines()[0]
    assert str(output / "index.html") in shown
    page = (output / "index.html").read_text()
    assert ">Health of the adversary</h2>" in page
    assert page.count("<li>UDA, fold_0, epoch 29: dominating gradient: ") == 1
    assert "SYNTHETIC data: the cases are phantoms" in page
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert len(captions) > 12
    assert all("SYNTHETIC" in caption for caption in captions)
    assert "UDA: 5 cases, 1 of 5 folds" in page
    assert "<li>Incomplete: " in page
    assert "no scores: m2_ped/fold_1" in page
    assert "paper and this run" not in page  # synthetic numbers are not set beside published ones
    files = {path.name for path in (output / "figures").iterdir()}
    drawn = {f"{name}.{ending}" for name in FIGURES for ending in ("svg", "pdf", "png")}
    assert files == drawn | {f"{name}.csv" for name in FIGURES if not name.startswith("slices")}
    for name in FIGURES:
        assert f'href="figures/{name}.pdf"' in page
        assert (output / "figures" / f"{name}.png").stat().st_size > 2_000
    assert {path.name for path in output.iterdir()} >= TABLES
    assert all("SYNTHETIC" in (output / name).read_text() for name in TABLES)


def test_post_processing_stands_beside_the_raw_result(runs: Path, children: Path, tmp_path: Path) -> None:
    """The rule turns the oedema of every child into core, so TC changes and WT does not; Tables 2 and 3 do not."""
    convention = get_convention("brats2023")
    copied = tmp_path / "runs"
    shutil.copytree(runs / "uda", copied / "uda", ignore=shutil.ignore_patterns("metrics.csv"))
    assert main([str(copied), "--output", str(tmp_path / "before")]) == 0
    run = RunFolder(copied / "uda" / "fold_0")
    place = run.variant("peds2023_ed")
    output = place.path
    write_json(place.settings, {"rules": "peds2023_ed", "of": "plain"})
    postprocess_folder(run.variant("plain").path, output, RULE_SETS["peds2023_ed"], convention=convention, workers=1)
    cases = find_cases(children, cohort="ped", labelled=True).cases
    score_cases(output, cases, output=output / "scores.csv", convention=convention, workers=1)
    assert main([str(copied), "--output", str(tmp_path / "after")]) == 0
    for name in sorted(TABLES):
        assert (tmp_path / "after" / name).read_text() == (tmp_path / "before" / name).read_text()
    assert not (tmp_path / "before" / "postprocessing.csv").exists()
    table = pd.read_csv(tmp_path / "after" / "postprocessing.csv")
    assert list(table["rules"]) == ["raw", "peds2023_ed"]
    assert list(table["changed"]) == [0, 5]
    assert (table["difference dice wt"] == 0).all()
    assert table["difference dice tc"][1] < -0.1
    assert table["caption"].str.contains("SYNTHETIC").all()
    page = (tmp_path / "after" / "index.html").read_text()
    assert ">Post-processing</h2>" in page
    assert "Tables 2 and 3 and the comparisons are of the raw result. (SYNTHETIC data)" in page
    assert "5 of 5</td>" in page
    assert main([str(runs / "uda"), "--output", str(tmp_path / "after")]) == 0
    assert not (tmp_path / "after" / "postprocessing.csv").exists()


def test_again_into_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"c{i},{region},0.{i},1\n" for i in range(1, 4) for region in ("et", "tc", "wt"))
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"case,region,dice,hd95_mm\n{rows}")
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    sources = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert main([*sources, "--output", str(output)]) == 0
    assert {path.stem for path in (output / "figures").iterdir()} == {"scores", "comparison"}
    assert main([sources[0], "--output", str(output)]) == 0
    assert {path.stem for path in (output / "figures").iterdir()} == {"scores"}
    assert (output / "notes.txt").read_text() == "mine"
    foreign = tmp_path / "another"
    foreign.mkdir()
    (foreign / "index.html").write_text("mine")
    assert main([sources[0], "--output", str(foreign)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (foreign / "index.html").read_text() == "mine"
    assert main([sources[0], "--output", str(foreign), "--overwrite"]) == 0
    assert main([sources[0], "--output", str(foreign / "index.html")]) == 2


def test_images_that_moved(runs: Path, children: Path, tmp_path: Path) -> None:
    moved = tmp_path / "runs"
    shutil.copytree(runs / "uda", moved / "uda", ignore=shutil.ignore_patterns("metrics.csv"))
    settings = json.loads((moved / "uda" / "fold_0" / "config.json").read_text())
    settings["data"]["cohorts"]["ped"]["folder"] = str(tmp_path / "gone")
    write_json(moved / "uda" / "fold_0" / "config.json", settings)
    output = tmp_path / "out"
    assert main([str(moved), "--output", str(output)]) == 0
    assert "give them as --images" in (output / "index.html").read_text()
    assert not (output / "figures" / "slices_UDA.png").exists()
    folders = ["--images", str(children), "--labels", str(children)]
    assert main([str(moved), "--output", str(output), *folders]) == 0
    assert (output / "figures" / "slices_UDA.png").exists()
    assert main([str(moved), "--output", str(output), "--images", str(tmp_path / "gone")]) == 2


@pytest.mark.slow
def test_report_of_a_trained_run(toy_world: Path, tmp_path: Path) -> None:
    from pedseg.commands import train

    paths = [f"paths.{n}={toy_world / n}" for n in ("adult", "ped", "store")] + [f"paths.runs={tmp_path / 'runs'}"]
    assert train.main(["scale=toy", *paths, "experiment=uda", "trainer.enable_progress_bar=false"]) == 0
    assert main([str(tmp_path / "runs"), "--output", str(tmp_path / "out")]) == 0
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == {
        "scores",
        "core_rule",
        "sizes",
        "slices_UDA",
        "curves_UDA_fold_0",
        "adversary_UDA",
    }


def test_report_of_published_scores(shared: Path, tmp_path: Path) -> None:
    files = [str(shared / "reference" / "per_case" / f"{n}.csv") for n in ("model1_nods", "model3_nods", "uda")]
    sizes = ["--sizes", str(shared / "reference" / "ped_tumor_sizes.csv")]
    assert main([*files, "--output", str(tmp_path), *sizes]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "without the 22 cases" in page
    assert "35 of 36 numbers of the paper are the same" in page
    assert "36 of 36 numbers of the paper are the same" in page
    assert "ET in 11, NC in 0, ED in 42" in page
    assert "SYNTHETIC" not in page
    statistics = json.loads((tmp_path / "statistics.json").read_text())
    assert not statistics["synthetic"]
    significant = [
        (row["metric"], row["region"])
        for row in statistics["comparisons"]
        if (row["first"], row["second"], row["cases"]) == ("3*", "UDA", 77) and row["p_t"] < 0.05
    ]
    assert significant == [("dice", "et")]


def test_scores_without_sizes_and_of_different_cases(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("case,region,dice,hd95_mm\n" + "".join(f"c{i},et,0.5,1\n" for i in range(4)))
    (tmp_path / "b.csv").write_text("case,region,dice,hd95_mm\n" + "".join(f"c{i},et,0.{i},1\n" for i in range(3)))
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "scored on different cases (3 are common to all)" in page
    assert "There is no Table 3" in page
    assert "paper and this run" not in page
    assert not (tmp_path / "out" / "table3.md").exists()


def test_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "pedseg train" in error
    assert str(tmp_path) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["report", "evaluate", "predict"])
def test_help_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'monai', 'lightning', 'pandas', 'matplotlib', 'nibabel', 'scipy', 'hydra'}"
    code = f"import sys, pedseg.commands.{module} as m; m.parser().format_help(); exit(len({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
