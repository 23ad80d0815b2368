"""Precision and cores of a run, decided on faked machines."""

import logging
import os
from typing import Any

import pytest
import torch

from pedseg import hardware
from pedseg.assembly import on_this_machine
from pedseg.assembly.machine import training_device
from pedseg.errors import PedsegError
from pedseg.settings.following import Machine
from pedseg.settings.run import RunSettings
from tests.composed import settings

NATIVE = {"avx2": True, "avx512_f": True, "avx512_bf16": True}


@pytest.fixture(autouse=True)
def eight_cores_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*hardware.ISA_LIMITS, "SLURM_CPUS_PER_TASK", "SLURM_NTASKS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "_quotas", list)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    of_cpu(monkeypatch, {"avx2": True})


def of_cpu(monkeypatch: pytest.MonkeyPatch, able: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)


def with_gpu(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool, count: int = 1) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)


def config(precision: Any = "auto", *, prediction: str = "auto", **trainer: Any) -> RunSettings:
    return settings(trainer={"precision": precision, **trainer}, prediction={"precision": prediction})


def on_machine(given: RunSettings, **jobs: int) -> Machine:
    return on_this_machine(given, None, **jobs)[1]


def decided(given: RunSettings, kept: RunSettings | None) -> tuple[str, str]:
    found, machine = on_this_machine(given, kept)
    assert found.machine == machine
    return found.trainer.precision, machine.prediction


def test_the_device_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided(config(), None) == ("32-true", "32")
    of_cpu(monkeypatch, NATIVE)
    assert decided(config(), None) == ("bf16-mixed", "bf16")
    with_gpu(monkeypatch, bfloat16=False)
    assert decided(config(), None) == ("16-mixed", "16")
    assert decided(config(accelerator="cpu"), None) == ("bf16-mixed", "bf16")
    with_gpu(monkeypatch, bfloat16=True)
    assert decided(config(), None) == ("bf16-mixed", "bf16")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("32-true", "32-true"), (32, "32-true"), ("bf16", "bf16-mixed"), ("bf16-mixed", "bf16-mixed")],
)
def test_what_is_set_stays(given: Any, expected: str) -> None:
    assert decided(config(given, prediction="32"), None) == (expected, "32")
    assert on_machine(config(given)).precision == "as trainer.precision says"


def test_a_run_goes_on_in_its_own_precision(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    begun, _ = on_this_machine(config(), None)
    of_cpu(monkeypatch, NATIVE)
    assert decided(config(), begun) == ("32-true", "32")
    begun_here, _ = on_this_machine(config(), None)
    of_cpu(monkeypatch, {"avx2": True})
    with caplog.at_level(logging.WARNING):
        assert decided(config(), begun_here) == ("bf16-mixed", "bf16")
    assert "bfloat16 (as the run began), which is slow here" in caplog.text


def test_a_run_of_before_the_machine_was_noted_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    of_cpu(monkeypatch, NATIVE)
    assert decided(config(), config("bf16-mixed")) == ("bf16-mixed", "bf16")


def test_float16_does_not_continue_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        with_gpu(patch, bfloat16=False)
        begun, _ = on_this_machine(config(), None)
    with pytest.raises(PedsegError, match=r"16-mixed .as the run began., and a CPU does not train in float16"):
        on_this_machine(config(), begun)


@pytest.mark.parametrize("given", ["64", "fp32", "bf16-true", None, ""])
def test_other_precisions_are_refused(given: Any) -> None:
    with pytest.raises(PedsegError, match=r"trainer.precision=.*: should be 'auto', '32-true', 'bf16-mixed' or"):
        config(given)


@pytest.mark.parametrize(
    ("jobs", "threads", "workers"),
    [
        ({}, 7, 1),
        ({"jobs": 2}, 3, 1),
        ({"jobs": 8}, 1, 0),
        ({"jobs": 16}, 1, 0),
    ],
)
def test_jobs_side_by_side_share_the_cores(jobs: dict[str, int], threads: int, workers: int) -> None:
    machine = on_machine(config(), **jobs)
    assert (machine.threads, machine.workers) == (threads, workers)
    assert machine.cores == 8


@pytest.mark.parametrize(("devices", "processes"), [(4, 4), ("4", 4), ([0, 1], 2), ("0,1", 2), ("auto", 1), (-1, 1)])
def test_processes_of_a_run_share_the_cores(devices: Any, processes: int) -> None:
    assert on_machine(config(devices=devices)).threads == 8 // processes - 1


def test_beside_gpus_the_cores_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, bfloat16=True, count=2)
    for devices, workers in ((1, 7), ("auto", 3), (2, 3)):
        assert on_machine(config(devices=devices)).workers == workers
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert on_machine(config()).workers == 1


def test_tasks_of_a_scheduler_have_cores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert on_machine(config(devices=4)).threads == 7


def test_what_is_set_by_hand_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    machine = on_machine(settings(data={"num_workers": 5}))
    assert machine.workers == 5
    assert machine.threads == torch.get_num_threads()


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(PedsegError, match=r"trainer.accelerator=gpu: this machine has none; use auto, or one of cpu"):
        training_device("gpu")
    with pytest.raises(PedsegError, match=r"trainer.accelerator=tpu"):
        training_device("tpu")
