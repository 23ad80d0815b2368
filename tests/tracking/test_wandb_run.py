"""What W&B is told of a run, from its training to what is computed later: read from its offline records."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from pedseg.commands.calibrate import main as calibrate
from pedseg.commands.predict import main as predict
from pedseg.commands.validate import main as validate
from pedseg.errors import PedsegError
from pedseg.runs import RunFolder
from pedseg.settings.following import Logger
from pedseg.settings.outside import About
from pedseg.tracking import results_of
from pedseg.tracking.wandb_run import WandbRun, artifact_name
from tests.training import spawn, train
from tests.wandb_records import history_of, run_of, sessions, summary_of

OFFLINE = ("logger=wandb", "logger.offline=true")
IDS = ("BraTS-PED-", "BraTS-GLI-")
ABOUT = About(name="uda/fold_0", group="uda", job="fold_0", config={}, tags=("uda",), notes="A run.")


def kinds(records: Sequence[Any]) -> set[str]:
    return {record.WhichOneof("record_type") for record in records}


def without_local_paths(record: Any) -> bytes:
    """A record as it is sent: where the files of an artifact lie stays here."""
    copy = type(record).FromString(record.SerializeToString())
    for entry in copy.artifact.manifest.contents if copy.HasField("artifact") else ():
        entry.ClearField("local_path")
    sent: bytes = copy.SerializeToString()
    return sent


def test_the_record_holds_the_result(shown: RunFolder) -> None:
    (records,) = sessions(shown.path)
    summary, history = summary_of(records), history_of(records)
    expected = results_of(shown)
    names = {f"test/plain/{region}/{metric}" for region in ("wt", "tc", "et") for metric in ("dice", "hd95_mm")}
    assert names | {"validator/plain/sizes", "best/val/source/dice_mean", "last/train/loss"} <= expected.keys()
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    (row,) = [row for row in history if "test/plain/wt/dice" in row]
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["epoch"] == 0
    assert records[-1].exit.exit_code == 0
    assert shown.finished.exists()


def test_the_record_can_be_found_and_says_what_it_is(shown: RunFolder) -> None:
    run = run_of(sessions(shown.path)[0])
    assert run.display_name == "uda/seed=3/fold_0"
    assert (run.run_group, run.job_type) == ("uda", "fold_0")  # of all seeds and folds
    assert list(run.tags) == ["uda", "dann", "synthetic", "first try"]
    assert run.notes == (
        "Two words. Trained on adult with labels and ped without; evaluated on ped as plain. Data are synthetic."
    )


def test_cases_are_shown_with_their_masks(shown: RunFolder) -> None:
    (records,) = sessions(shown.path)
    tables = [record.artifact for record in records if record.HasField("artifact")]
    (table,) = [table for table in tables if table.type == "run_table"]
    files = {entry.path: Path(entry.local_path) for entry in table.manifest.contents}
    content = json.loads(files["cases/plain.table.json"].read_text())
    assert content["columns"][:2] == ["case", "image"]
    assert {"wt dice", "et hd95_mm"} <= set(content["columns"])
    assert len(content["data"]) == 2
    for case, image, *scores in content["data"]:
        assert case.startswith("BraTS-PED")
        assert set(image["masks"]) == {"prediction", "label"}
        assert all(isinstance(score, float) for score in scores)
        drawn = [Image.open(files[part["path"]]) for part in (image, *image["masks"].values())]
        assert len({picture.size for picture in drawn}) == 1
    assert all(shown.path in path.parents for path in files.values())  # none waits in the user's home


def test_the_checkpoint_is_kept_with_what_it_is(shown: RunFolder) -> None:
    (records,) = sessions(shown.path)
    (kept,) = [r.artifact for r in records if r.HasField("artifact") and r.artifact.type == "model"]
    assert kept.name == "uda-seed-3-fold_0"
    assert "last" in kept.aliases
    (entry,) = kept.manifest.contents
    assert Path(entry.local_path) == shown.checkpoint
    assert len(json.loads(kept.metadata)["sha256"]) == 64


def test_what_is_shown_tells_of_no_place(shown: RunFolder, toy_world: Path) -> None:
    """Patient data and the checkpoint leave the machine here; folders, host and command line do not."""
    (records,) = sessions(shown.path)
    words = [sys.executable, str(Path.cwd()), str(toy_world), str(shown.path), "--", "trainer.enable"]
    sent = [without_local_paths(record) for record in records]
    files = [Path(e.local_path).read_bytes() for r in records for e in r.artifact.manifest.contents]
    assert len(files) > 5
    told = b"\n".join([*sent, *files])
    assert [word for word in words[:4] if word.encode() in told] == []
    assert not run_of(records).host


def test_later_results_go_into_the_same_record(toy_world: Path, tmp_path: Path) -> None:
    assert train(toy_world, tmp_path, "experiment=uda", *OFFLINE) == 0
    run = RunFolder(tmp_path / "uda" / "fold_0")
    (first,) = sessions(run.path)
    assert not any(name.startswith("validator/") for name in summary_of(first))
    assert predict(["--run", str(run.path), "--variant", "tent"]) == 0
    assert calibrate(["--run", str(run.path), "--input", str(toy_world / "ped"), "--no-mirror"]) == 0
    assert validate([str(run.path), "--cases", "2"]) == 0
    assert validate([str(run.path), "--cases", "2"]) == 0  # nothing is new
    assert train(toy_world, tmp_path, "experiment=uda", "variant=[plain,core]", *OFFLINE) == 0
    assert train(toy_world, tmp_path, "experiment=uda", *OFFLINE) == 0  # nothing is new
    later = sessions(run.path)
    assert len(later) == 5
    assert {run_of(records).run_id for records in later} == {(run.path / "wandb_id").read_text()}
    summaries = [summary_of(records) for records in later]
    for session, name in enumerate(
        ["test/plain/tc/dice", "test/tent/tc/dice", "calibration/calibrated/tc/logit",
         "validator/tent/checkpoint_agreement", "test/core/tc/dice"]
    ):  # fmt: skip
        assert [name in summary for summary in summaries] == [False] * session + [True] * (5 - session), name
    assert not list((run.path / "wandb").rglob("*.png"))  # images and ids only on request
    whole = [path.read_bytes() for path in (run.path / "wandb").rglob("*") if path.is_file()]
    words = [*IDS, str(tmp_path), str(toy_world), sys.executable]
    assert [word for word in words if any(word.encode() in data for data in whole)] == []
    assert all(kinds(records).isdisjoint({"environment", "stats", "output", "artifact"}) for records in later)


def test_what_was_computed_stays_where_no_tracker_can_be_had(
    toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(toy_world, tmp_path, "experiment=m2_ped", *OFFLINE) == 0
    run = RunFolder(tmp_path / "m2_ped" / "fold_0")

    def refuse(*_: object) -> None:
        raise PedsegError("logger=wandb: no key")

    monkeypatch.setattr(WandbRun, "__init__", refuse)
    assert predict(["--run", str(run.path), "--variant", "tent"]) == 0
    assert run.variant("tent").scores.exists()
    assert "no tracker was told: logger=wandb: no key" in capsys.readouterr().out
    assert train(toy_world, tmp_path, "experiment=m2_ped", "seed=1", *OFFLINE) == 2
    assert not RunFolder(tmp_path / "m2_ped" / "seed=1" / "fold_0").checkpoint.exists()  # before anything is trained


def test_a_finished_run_is_told_to_a_tracker_that_comes_later(toy_world: Path, tmp_path: Path) -> None:
    assert train(toy_world, tmp_path, "experiment=m2_ped") == 0
    assert train(toy_world, tmp_path, "experiment=m2_ped", *OFFLINE) == 0
    run = RunFolder(tmp_path / "m2_ped" / "fold_0")
    (records,) = sessions(run.path)
    assert summary_of(records)["test/plain/wt/dice"] == pytest.approx(results_of(run)["test/plain/wt/dice"])
    assert [row["epoch"] for row in history_of(records) if "train/loss" in row] == [0]  # the curves as well


def test_warnings_are_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = WandbRun(tmp_path, ABOUT, Logger(wandb=True, offline=True))
    tracker.warn("dominating gradient", "epoch 3: give a smaller adaptation.dann.lambda_domain")
    tracker.close(failed=False)
    (alert,) = [record.alert for record in sessions(tmp_path)[0] if record.HasField("alert")]
    assert (alert.title, alert.level) == ("dominating gradient", "WARN")
    assert alert.text == "epoch 3: give a smaller adaptation.dann.lambda_domain"


def test_a_checkpoint_names_the_one_it_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On line W&B draws the line between the two; there is no server here, and its place is taken."""
    tracker = WandbRun(tmp_path, ABOUT, Logger(wandb=True, offline=True))
    used, logged = list[str](), list[Any]()
    file = tmp_path / "last.ckpt"
    file.write_bytes(b"weights")
    place = SimpleNamespace(
        offline=False, use_artifact=used.append, log_artifact=lambda artifact, aliases: logged.append(artifact)
    )
    with monkeypatch.context() as patch:
        patch.setattr(WandbRun, "experiment", place)
        tracker.checkpoint(file, name="m5/fold_0", about={"seed": 0}, origin="m1_adult/a=1,b/fold_all")
    tracker.close(failed=False)
    assert used == ["m1_adult-a-1-b-fold_all:last"] == [f"{artifact_name('m1_adult/a=1,b/fold_all')}:last"]
    assert dict(logged[0].metadata) == {"seed": 0, "starts_from": "m1_adult-a-1-b-fold_all"}


def test_without_a_key_the_error_says_what_to_do(toy_world: Path, tmp_path: Path) -> None:
    """Before anything is trained."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment = kept | {
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / "none"),
        "WANDB_BASE_URL": "http://127.0.0.1:9",
    }
    command = spawn(toy_world, tmp_path, "experiment=m2_ped", "logger=wandb")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("pedseg: ")]
    assert line.startswith("pedseg: logger=wandb: ")
    assert line.endswith("give logger.offline=true to write to disk only")
    assert not list(tmp_path.rglob("last.ckpt"))
