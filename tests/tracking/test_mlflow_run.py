"""MLflow in a folder, as a hospital without a cloud has it; and several trackers at once."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.commands.predict import main as predict
from pedseg.runs import RunFolder
from pedseg.settings.stored import read_settings
from pedseg.tracking import results_of
from tests.training import train
from tests.wandb_records import sessions, summary_of

ABSENT = 'no mlflow (pip install "pedseg[mlflow]")'


def test_the_missing_extra_is_named(
    toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pedseg.tracking.mlflow_run.find_spec", lambda name: None)
    assert train(toy_world, tmp_path, "experiment=m2_ped", "logger=mlflow") == 2
    assert 'pedseg: logger=mlflow needs mlflow; install it with pip install "pedseg[mlflow]"' in capsys.readouterr().err
    assert not list(tmp_path.rglob("last.ckpt"))


@pytest.fixture(scope="module")
def told(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Any, Any]:
    """A run of two trackers, the client of its store, and what the client knows of it."""
    mlflow = pytest.importorskip("mlflow", reason=ABSENT)
    runs = tmp_path_factory.mktemp("runs of mlflow")
    more = ("logger.offline=true", "logger.artifact=true", "callbacks.images=true", "logger.tags=[first try]")
    assert train(toy_world, runs, "experiment=uda", "logger=[wandb,mlflow]", *more) == 0
    run = RunFolder(runs / "uda" / "fold_0")
    client = mlflow.MlflowClient(tracking_uri=(runs / "mlflow").as_uri())
    return run, client, client.get_run((run.path / "mlflow_id").read_text())


def test_both_trackers_hold_the_result(told: tuple[RunFolder, Any, Any]) -> None:
    run, client, record = told
    expected = results_of(run)
    assert {name: record.data.metrics[name] for name in expected} == pytest.approx(expected)
    (records,) = sessions(run.path)
    summary = summary_of(records)
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    (point,) = client.get_metric_history(record.info.run_id, "train/loss")
    assert (point.step, point.value) == (1, pytest.approx(summary["train/loss"]))
    assert record.info.status == "FINISHED"


def test_mlflow_can_find_it_and_has_files(told: tuple[RunFolder, Any, Any]) -> None:
    run, client, record = told
    assert client.get_experiment(record.info.experiment_id).name == "pedseg"
    assert record.info.run_name == "uda/fold_0"
    tags = record.data.tags
    assert (tags["group"], tags["job"], tags["tags"]) == ("uda", "fold_0", "uda, dann, synthetic, first try")
    settings = read_settings(run.path).as_json()
    assert float(record.data.params["adaptation.dann.alpha_max"]) == settings["adaptation"]["dann"]["alpha_max"]
    cases = {file.path for file in client.list_artifacts(record.info.run_id, "cases/plain")}
    assert len(cases) == 2
    kept = Path(client.download_artifacts(record.info.run_id, "checkpoint/last.ckpt"))
    assert kept.read_bytes() == run.checkpoint.read_bytes()


def test_mlflow_is_told_of_no_place(told: tuple[RunFolder, Any, Any], toy_world: Path) -> None:
    run, _, record = told
    store = run.path.parents[1] / "mlflow"
    words = [str(toy_world), "trainer.enable_progress_bar", str(Path.cwd())]
    whole = [path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name != "meta.yaml"]
    assert len(whole) > 50
    assert [word for word in words if any(word.encode() in data for data in whole)] == []
    assert {record.data.tags[name] for name in ("mlflow.user", "mlflow.source.name")} == {"pedseg"}
    assert not [name for name in record.data.tags if name.startswith("mlflow.source.git")]


def test_later_results_go_into_the_same_record(told: tuple[RunFolder, Any, Any]) -> None:
    run, client, record = told
    assert predict(["--run", str(run.path), "--variant", "tent"]) == 0
    again = client.get_run((run.path / "mlflow_id").read_text())
    assert again.info.run_id == record.info.run_id
    assert again.data.metrics["test/tent/wt/dice"] == pytest.approx(results_of(run)["test/tent/wt/dice"])
    assert len(client.search_runs([record.info.experiment_id])) == 1


def test_tensorboard_holds_the_result_too(toy_world: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason='no tensorboard (pip install "pedseg[tracking]")')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(toy_world, tmp_path, "experiment=m2_ped", "logger=tensorboard") == 0
    run = RunFolder(tmp_path / "m2_ped" / "fold_0")
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    expected = results_of(run)
    shown = {name: events.Scalars(name)[-1].value for name in expected}
    assert shown == pytest.approx(expected, rel=1e-5)
