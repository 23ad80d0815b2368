"""The whole benchmark on a source and a target of other names, declared outside the tree."""

from pathlib import Path

import pandas as pd
import pytest

from pedseg.commands.benchmark import main as benchmark
from pedseg.commands.prepare import main as prepare
from pedseg.commands.train import main as train
from pedseg.commands.validate import main as validate
from pedseg.files import read_json
from pedseg.phantom.__main__ import main as make
from pedseg.runs import PLAIN, RunFolder
from pedseg.settings.stored import read_settings

POPULATION = """\
patients: 50 others
source: elsewhere
volume_mm3: {wt: {0: 9000, 1: 90000}, tc: {0: 9000, 1: 90000}, et: {0.5: 9, 1: 90000}}
share_of_wt: {tc: {0: 0.5, 1: 1}, et: {0: 0.1, 1: 0.3}}
share_of_brain: {wt: 0.1, tc: 0.03, et: 0.02}
"""
COHORT = """\
# @package data.cohorts
{name}:
  folder: null
  labelled: {labelled}
  convention: brats2023
  population: others
"""
SCALE = """\
# @package _global_
defaults:
  - toy
  - override /cohort: [Clinic-A, hospital_b, hospital_test]
  - _self_
data:
  pair: {{source: Clinic-A, target: hospital_b}}
  evaluation: hospital_test
prediction:
  mirror: false
paths:
  hospital_b: {world}/ped
  hospital_test: {here}/others/ped
  store: {here}/store
  runs: {here}/runs/seed_0
"""
EXPERIMENTS = "m1_adult_fold,m3_mixed_nods,uda_class_ratio"


@pytest.fixture
def conf(toy_world: Path, tmp_path: Path) -> Path:
    """A folder of files like those of conf/; the children to test are others than those that networks adapt to."""
    others = ["--output", str(tmp_path / "others"), "--adults", "0", "--children", "6", "--first", "6"]
    assert make([*others, "--spacing", "8", "--workers", "1"]) == 0
    files = {f"cohort/{name}": COHORT.format(name=name, labelled="true") for name in ("Clinic-A", "hospital_test")}
    files |= {
        "cohort/hospital_b": COHORT.format(name="hospital_b", labelled="true"),
        "population/others": POPULATION,
        "scale/hospitals": SCALE.format(world=toy_world, here=tmp_path),
    }
    for name, text in files.items():
        path = tmp_path / "my conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "my conf"


def test_the_benchmark_of_two_hospitals(
    toy_world: Path, conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PEDSEG_CLINIC_A", str(toy_world / "adult"))
    given = ["--config-dir", str(conf), "scale=hospitals"]
    runs = tmp_path / "runs"
    assert prepare([*given, "workers=1"]) == 0
    assert train([*given, "-m", f"experiment={EXPERIMENTS}"]) == 0
    assert sorted(path.name for path in (runs / "seed_0").iterdir() if path.is_dir()) == EXPERIMENTS.split(",")
    run = runs / "seed_0" / "uda_class_ratio" / "fold_0"
    plain = RunFolder(run).variant(PLAIN)
    settings = read_settings(run)
    assert (settings.data.labelled_source, settings.data.target) == ({"Clinic-A": "fold"}, ("hospital_b",))
    assert settings.adaptation.root["mean_teacher"]["shares"]["wt"] == 0.1
    assert len(pd.read_csv(plain.scores).case.unique()) == 6

    assert validate([str(runs), "--cases", "2", "--device", "cpu"]) == 0
    assert read_json(plain.validators)["settings"]["population"]["patients"] == "50 others"
    assert validate([str(run), "--cases", "2", "--device", "cpu", "--population", "brats_peds2023"]) == 0
    assert "children" in read_json(plain.validators)["settings"]["population"]["patients"]

    capsys.readouterr()
    assert benchmark([str(runs), "--output", str(tmp_path / "report"), "--cases", "2", "--device", "cpu"]) == 0
    table = pd.read_csv(tmp_path / "report" / "gap.csv")
    assert set(table.model) == set(EXPERIMENTS.split(","))
