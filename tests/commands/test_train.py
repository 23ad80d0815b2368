"""The training command, end to end on tiny synthetic cohorts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg.calibration.record import read_thresholds
from pedseg.callbacks import LastCheckpoint
from pedseg.callbacks.metrics_csv import MetricsCsv
from pedseg.files import read_json, write_json
from pedseg.inference.checkpoint import read_checkpoint
from pedseg.runs import RunFolder
from tests.conftest import FEW, Trained
from tests.training import assert_same_bits, rows, spawn, train, weights
from tests.wandb_records import read_records


def test_frozen_parts_are_bit_identical_and_trained_ones_are_not(trained: Trained) -> None:
    m1, m5 = weights(trained("m1_adult").path), weights(trained("m5_seg_layers").path)
    frozen = {
        "m5_seg_layers": (m1, ("encoder", "decoder")),
        "m7_finetune_encoder": (m5, ("decoder",)),
        "m8_finetune_decoder": (m5, ("encoder",)),
    }
    for experiment, (before, parts) in frozen.items():
        after = weights(trained(experiment).path)
        for part in ("encoder", "decoder", "seg_layers"):
            names = [name for name in after if name.startswith(f"network.{part}.") and name.endswith("weight")]
            unchanged = [torch.equal(after[name], before[name]) for name in names]
            assert all(unchanged) if part in parts else not all(unchanged), (experiment, part)


def test_control_has_no_reversed_gradient(trained: Trained) -> None:
    control = rows(trained("uda_alpha0").metrics)
    assert {float(row["train/alpha"]) for row in control if row["train/alpha"]} == {0.0}
    assert {float(row["train/gradient_domain"]) for row in control if row["train/gradient_domain"]} == {0.0}


def test_a_finished_run_is_not_trained_again(trained: Trained, toy_world: Path) -> None:
    folder = trained("m2_ped")
    before = folder.checkpoint.stat().st_mtime_ns
    assert train(toy_world, folder.path.parents[1], "experiment=m2_ped", *FEW) == 0
    assert folder.checkpoint.stat().st_mtime_ns == before


def test_what_a_run_starts_from_must_be_there(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(toy_world, tmp_path, "experiment=m5_seg_layers", "fold=0") == 2
    assert "pedseg train experiment=m1_adult" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["experiment=uda", "fold=7"], "fold 7"),
        (["experiment=nonsense"], "nonsense"),
        (["experiment=uda", "data.source.ped=fold"], "both source and target"),
        (["experiment=uda", "data.patch_size=[15,16,16]"], "patch"),
        (["experiment=uda", "adaptation.dann.decoder_stage=9"], "adaptation.dann.decoder_stage=9"),
        (["experiment=m2_ped", "trained_parts=[head]"], "head"),
        (
            ["experiment=m1_adult_nods", "adaptation=[strong,mean_teacher]"],
            "adaptation=mean_teacher needs an unlabelled",
        ),
        (["experiment=uda", "adaptation.dann.alpha_start=0.7"], "adaptation.dann.alpha_start=0.7: the rise ends at"),
        (["experiment=uda", "+data.opposed=[ped]"], "give data.source.ped=fold"),
        (["experiment=uda_released_2024", "data.source.ped=null"], "give data.source.ped=fold"),
        (["experiment=uda_released_2024", "adaptation=none"], "data.opposed=['ped'] is for a method"),
        (["experiment=uda", "adaptation=norm"], "adaptation.norm: it adapts the statistics of batch norms"),
        (["experiment=uda", "adaptation.dann._target_=os.system"], "adaptation.dann._target_=os.system is no subclass"),
        (["experiment=uda", "adaptation.lambda_domain=1"], "give adaptation.dann.lambda_domain=1"),
        (["experiment=uda", "adaptation.methods.dann=false"], "methods are switched off by ~adaptation.dann"),
        (["experiment=uda", "+adaptation=strong"], "adaptation has a choice already: give adaptation=... without +"),
        (["experiment=uda", "~adaptation.dann", "+adaptation.mine={}"], "adaptation.mine has no _target_"),
        (["experiment=uda", "adaptation=class_ratio", "adaptation.mean_teacher.shares.et=0.5"], "give no part more"),
        (["experiment=uda", "variant=tent", "variant.tent.adapt_rate=0"], "adapt_rate=0: should be greater than 0"),
        (["experiment=uda_calibrated"], "give experiment=uda 'variant=[plain,calibrated]'"),
        (["experiment=uda", "calibration=published"], "give 'variant=[plain,calibrated]'"),
        (["experiment=uda", "prediction.adapt_steps=3"], "give 'variant=[plain,tent]'"),
        (["experiment=m1_adult_fold", "variant=[calibrated]"], "variant.calibrated.target=[ped]"),
        (["experiment=uda", "variant=[calibrated]", "variant.calibrated.shares.tc=1.2"], "shares.tc=1.2"),
        (["experiment=m3_mixed_nods", "variant=calibrated", "variant.calibrated.target=[ped]"], "source and target"),
        (["experiment=m2_ped", "folds=/nowhere/splits.json"], "/nowhere/splits.json"),
        (["experiment=m2_ped", "paths.store=/nowhere"], "pedseg prepare"),
        (["experiment=m2_ped", "paths.ped=null", "data.cohorts.ped.folder=null"], "paths.ped"),
    ],
)
def test_mistakes_end_before_training(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    assert train(toy_world, tmp_path, *overrides) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("adaptation", "logged"),
    [
        (
            "[strong,mean_teacher,entropy,prior,fourier,dann]",
            {"loss_consistency", "teacher_sure", "loss_entropy", "loss_prior", "loss_domain", "gradient_domain"},
        ),
        ("histogram", set()),
    ],
)
def test_methods_combine_on_the_command_line(
    toy_world: Path, tmp_path: Path, adaptation: str, logged: set[str]
) -> None:
    """Two epochs of a step, so that in the second one every weight is above 0."""
    more = (f"adaptation={adaptation}", "trainer.max_epochs=2", "trainer.limit_train_batches=1")
    assert train(toy_world, tmp_path, "experiment=uda", *more) == 0
    (path,) = tmp_path.rglob("fold_0")
    folder = RunFolder(path)
    assert len(rows(folder.variant("plain").scores)) == 3 * 2
    assert len(list(folder.variant("plain").path.glob("*.nii.gz"))) == 2
    last = [row for row in rows(folder.metrics) if row["epoch"] == "1" and row["train/loss"]][-1]
    assert all(last[f"train/{name}"] for name in {*logged, "loss_seg"})
    described = torch.load(folder.checkpoint, weights_only=True)["pedseg"]["adaptation"]
    assert set(described) == set(adaptation.strip("[]").split(","))


def test_strong_augmentation_needs_no_target(toy_world: Path, tmp_path: Path) -> None:
    model = "experiment=m1_adult_nods"
    assert train(toy_world, tmp_path, model, "adaptation=strong") == 0
    assert train(toy_world, tmp_path, model) == 0
    strong, plain = (weights(tmp_path / "m1_adult_nods" / name / "fold_all") for name in ("adaptation=strong", ""))
    assert strong.keys() == plain.keys()
    first = "network.encoder.0.conv1.conv.weight"
    assert not torch.equal(strong[first], plain[first])


def test_resume_after_kill_is_exact(toy_world: Path, tmp_path: Path) -> None:
    """Four epochs equal two, kill -9, and the other two, bit for bit; the curves are whole."""
    more = ("experiment=uda", "trainer.max_epochs=6", "trainer.limit_train_batches=4", "data.num_workers=0")
    assert train(toy_world, tmp_path / "whole", *more) == 0
    command = spawn(toy_world, tmp_path / "killed", *more)
    name = "uda/trainer.limit_train_batches=4,trainer.max_epochs=6/fold_0"
    folder = RunFolder(tmp_path / "killed" / name)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not folder.checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert folder.checkpoint.exists()
    assert not folder.finished.exists()
    assert train(toy_world, tmp_path / "killed", *more) == 0
    assert_same_bits(weights(folder.path), weights(tmp_path / "whole" / name))
    epochs = [row["epoch"] for row in rows(folder.metrics) if row["train/loss"]]
    assert epochs == ["0", "1", "2", "3", "4", "5"]


def test_curves_are_written_before_the_checkpoint_of_their_epoch(
    toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that is killed between the two goes on without them."""
    write, seen = LastCheckpoint._write, list[str]()

    def watched(callback: LastCheckpoint) -> None:
        if callback.unwritten is not None:
            curves = rows(callback.path.parents[1] / "metrics.csv")
            seen.append([row["epoch"] for row in curves if row["train/loss"]][-1])
        write(callback)

    monkeypatch.setattr(LastCheckpoint, "_write", watched)
    assert train(toy_world, tmp_path, "experiment=uda", "trainer.max_epochs=3") == 0
    assert seen == ["0", "1", "2"]


def test_a_signal_before_the_curves_of_an_epoch_leaves_a_checkpoint_that_is_not_ahead_of_them(
    toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of an epoch and its curves, where the line of the epoch is on the screen already."""
    more = ("experiment=uda", "trainer.max_epochs=4", "data.num_workers=0")
    log_metrics = MetricsCsv.log_metrics

    def interrupted(curves: MetricsCsv, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "train/loss" in metrics and metrics["epoch"] == 2:
            signal.raise_signal(signal.SIGTERM)
        log_metrics(curves, metrics, step)

    with monkeypatch.context() as patched:
        patched.setattr(MetricsCsv, "log_metrics", interrupted)
        assert train(toy_world, tmp_path, *more) == 128 + signal.SIGTERM
    folder = RunFolder(tmp_path / "uda" / "trainer.max_epochs=4" / "fold_0")
    assert int(read_checkpoint(folder.checkpoint)["epoch"]) == 1
    assert train(toy_world, tmp_path, *more) == 0
    assert [row["epoch"] for row in rows(folder.metrics) if row["train/loss"]] == ["0", "1", "2", "3"]


def test_a_cpu_held_to_avx2_trains_in_float32_and_the_run_stays_in_it(toy_world: Path, tmp_path: Path) -> None:
    """The slow kind of CPU, forced in a process of its own; continued wherever the tests run."""
    more = ("experiment=m1_adult_fold", "trainer.max_epochs=1")
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    result = subprocess.run(
        spawn(toy_world, tmp_path, *more), env=environment, capture_output=True, text=True, check=True
    )
    folder = RunFolder(tmp_path / "m1_adult_fold" / "trainer.max_epochs=1" / "fold_0")
    begun = read_json(folder.config)
    assert begun["trainer"]["precision"] == "32-true"
    assert begun["machine"]["prediction"] == "32"
    assert "AVX2 by ONEDNN_MAX_CPU_ISA" in begun["machine"]["precision"]
    assert "trains in 32-true" in result.stdout
    folder.finished.unlink()
    assert train(toy_world, tmp_path, *more) == 0
    assert read_json(folder.config)["trainer"]["precision"] == "32-true"
    assert read_json(folder.variant("plain").path / "predictions.json")["precision"] == "32"


def test_other_settings_do_not_continue_a_run(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(toy_world, tmp_path, "experiment=m2_ped") == 0
    folder = RunFolder(tmp_path / "m2_ped" / "fold_0")
    config = read_json(folder.config)
    config["seed"] = 5
    write_json(folder.config, config)
    assert train(toy_world, tmp_path, "experiment=m2_ped") == 2
    assert "seed: was 5, now 0" in capsys.readouterr().err


def test_sweep_gives_each_job_its_folder(toy_world: Path, tmp_path: Path) -> None:
    swept = ["-m", "experiment=uda", "adaptation.dann.alpha_max=1,3", "adaptation.dann.lambda_domain=0.1"]
    assert train(toy_world, tmp_path, *swept) == 0
    for alpha in (1, 3):
        folder = tmp_path / "uda" / f"adaptation.dann.alpha_max={alpha},adaptation.dann.lambda_domain=0.1" / "fold_0"
        assert RunFolder(folder).variant("plain").scores.exists()


def run(command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_wandb_offline_keeps_one_record_over_a_resume_and_tells_of_no_place(toy_world: Path, tmp_path: Path) -> None:
    more = ["experiment=uda", "trainer.max_epochs=2", "logger=wandb", "logger.offline=true"]
    who = {"HOME": str(tmp_path / "home of somebody"), "USER": "somebody", "LOGNAME": "somebody"}
    run(spawn(toy_world, tmp_path, *more), WANDB_MODE="offline", **who)
    folder = RunFolder(tmp_path / "uda" / "trainer.max_epochs=2" / "fold_0")
    run_id = (folder.path / "wandb_id").read_text()
    folder.finished.unlink()
    run(spawn(toy_world, tmp_path, *more), WANDB_MODE="offline")
    assert (folder.path / "wandb_id").read_text() == run_id
    records = list((folder.path / "wandb").glob(f"offline-run-*-{run_id}"))
    assert records
    assert not list((folder.path / "wandb").rglob("*.png"))  # images only on request
    check_private(
        folder.path / "wandb", [*who.values(), sys.executable, str(Path.cwd()), str(toy_world), str(tmp_path)]
    )


def check_private(folder: Path, words: Sequence[str]) -> None:
    """Nothing that W&B writes, nor what its record says, tells of the machine, its user, its folders or the command."""
    whole = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert [word for word in words if any(word.encode() in data for data in whole)] == []
    records = [record for path in folder.rglob("*.wandb") for record in read_records(path)]
    for told in (record.run for record in records if record.HasField("run")):
        assert told.run_group == "uda/trainer.max_epochs=2"
        assert not told.host
        assert not told.HasField("git")
        assert {item.key for item in told.config.update} >= {"data", "model", "adaptation", "fold"}
    kinds = {record.WhichOneof("record_type") for record in records}
    assert {"run", "history"} <= kinds
    assert kinds.isdisjoint({"environment", "stats", "output", "output_raw", "artifact", "use_artifact"})


def test_a_job_that_diverges_stops_and_leaves_the_next_its_own_record(toy_world: Path, tmp_path: Path) -> None:
    """The W&B run of a failed job is closed, so that the next job of the sweep does not write into it."""
    swept = ["-m", "experiment=m2_ped", "optimizer.lr=1e30,0.01", "logger=wandb", "logger.offline=true"]
    done = subprocess.run(spawn(toy_world, tmp_path, *swept), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "training has diverged" in done.stderr
    bad, good = (RunFolder(tmp_path / "m2_ped" / f"optimizer.lr={lr}" / "fold_0") for lr in ("1e+30", "0.01"))
    assert not bad.checkpoint.exists()
    assert not bad.finished.exists()
    assert good.variant("plain").scores.exists()
    records = [list((folder.path / "wandb").glob("offline-run-*/*.wandb")) for folder in (bad, good)]
    assert [len(found) for found in records] == [1, 1]
    assert records[0][0].name != records[1][0].name


@pytest.mark.slow
def test_two_processes_train_what_one_does(toy_world: Path, tmp_path: Path) -> None:
    """Two gloo processes with half the batch each: the same losses and weights as one process, up to rounding."""
    steps = ["trainer.limit_train_batches=4", "trainer.max_epochs=2"]
    common = [
        "experiment=uda",
        "variant=[plain,calibrated]",
        "trainer.precision=32-true",
        "prediction.precision='32'",
        *steps,
    ]
    run(spawn(toy_world, tmp_path / "one", *common, "data.batch_size=4"))
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=2"]
    run(spawn(toy_world, tmp_path / "two", *common, *two))
    one_folder, two_folder = (next((tmp_path / n).rglob("metrics.csv")).parent for n in ("one", "two"))
    for name, value in weights(one_folder).items():
        assert torch.allclose(weights(two_folder)[name].float(), value.float(), atol=1e-5), name
    losses: list[Any] = [
        [float(row["train/loss"]) for row in rows(f / "metrics.csv") if row["train/loss"]]
        for f in (one_folder, two_folder)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    places = [RunFolder(folder).variant("calibrated") for folder in (one_folder, two_folder)]
    found, other = (read_thresholds(place.thresholds) for place in places)
    assert found is not None
    assert other == pytest.approx(found, abs=1e-3)
    assert RunFolder(two_folder).variant("plain").scores.exists()


@pytest.mark.slow
def test_tensorboard(toy_world: Path, tmp_path: Path) -> None:
    run(spawn(toy_world, tmp_path, "experiment=m2_ped", "logger=tensorboard", "callbacks.images=true"))
    assert list((tmp_path / "m2_ped" / "fold_0" / "tensorboard").glob("events.*"))
