"""What is asked of the machine, with faked machines."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg import hardware
from pedseg.hardware import cores, cpu_kind, describe_machine, fast_precision

CPU = torch.device("cpu")
GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*hardware.ISA_LIMITS, "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(hardware, "CGROUP_OF_PROCESS", tmp_path / "of process")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def of_cpu(monkeypatch: pytest.MonkeyPatch, **able: Any) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)


def test_the_mask_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert cores() == 1


def test_without_a_mask_all_cores_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert cores() == 10


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 64), ("250000 100000", 3), ("50000 100000", 1)])
def test_quota_of_control_groups_version_2(tmp_path: Path, quota: str, expected: int) -> None:
    write(tmp_path / "of process", "0::/user.slice/job 7\n")
    write(tmp_path / "cgroup" / "user.slice" / "job 7" / "cpu.max", f"{quota}\n")
    assert cores() == expected


def test_the_tightest_group_around_the_process_counts(tmp_path: Path) -> None:
    write(tmp_path / "of process", "0::/slurm/job_1/step_0\n")
    for group, quota in (("slurm", "max"), ("slurm/job_1", "400000"), ("slurm/job_1/step_0", "1600000")):
        write(tmp_path / "cgroup" / group / "cpu.max", f"{quota} 100000\n")
    assert cores() == 4


def test_in_a_container_the_own_group_is_the_root(tmp_path: Path) -> None:
    write(tmp_path / "of process", "0::/docker/0123\n")
    write(tmp_path / "cgroup" / "cpu.max", "200000 100000\n")
    assert cores() == 2


@pytest.mark.parametrize("hierarchy", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("-1", 64), ("150000", 2)])
def test_quota_of_control_groups_version_1(tmp_path: Path, hierarchy: str, quota: str, expected: int) -> None:
    write(tmp_path / "of process", f"5:memory:/x\n3:{hierarchy}:/job\n0::/\n")
    write(tmp_path / "cgroup" / hierarchy / "job" / "cpu.cfs_quota_us", quota)
    write(tmp_path / "cgroup" / hierarchy / "job" / "cpu.cfs_period_us", "100000")
    assert cores() == expected


def test_what_slurm_gave_counts_where_it_set_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert cores() == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert cores() == 2


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({}, "32"),
        ({"avx2": True}, "32"),
        ({"avx2": True, "avx512_f": True}, "32"),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_a_cpu_gets_bfloat16_where_it_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], expected: str
) -> None:
    of_cpu(monkeypatch, **able)
    chosen = fast_precision(CPU)
    assert chosen.precision == expected
    assert "bfloat16" in chosen.reason


@pytest.mark.parametrize(
    ("isa", "expected"),
    [("AVX2", "32"), ("avx512_core", "32"), ("AVX2_VNNI_2", "32"), ("AVX512_CORE_BF16", "bf16"), ("ALL", "bf16"),
     ("AVX512_CORE_AMX", "bf16"), ("", "bf16")],
)  # fmt: skip
def test_an_instruction_set_that_is_forced_decides(monkeypatch: pytest.MonkeyPatch, isa: str, expected: str) -> None:
    of_cpu(monkeypatch, avx512_bf16=True, avx512_f=True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", isa)
    assert fast_precision(CPU).precision == expected
    assert isa in cpu_kind()


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "16")])
def test_a_gpu_without_bfloat16_gets_float16(monkeypatch: pytest.MonkeyPatch, native: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    chosen = fast_precision(GPU)
    assert chosen.precision == expected
    assert "Tesla V100" in chosen.reason


def test_other_devices_get_float32() -> None:
    assert fast_precision(torch.device("mps")).precision == "32"


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    hardware.sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == (given or "PASSIVE")


@pytest.mark.parametrize(("number", "expected"), [(0, (1, 0)), (1, (1, 0)), (2, (1, 1)), (16, (15, 1))])
def test_cores_of_a_training_on_the_cpu(number: int, expected: tuple[int, int]) -> None:
    assert hardware.share_cores(number, on_cpu=True) == expected


@pytest.mark.parametrize(("number", "workers"), [(1, 1), (2, 1), (8, 7), (64, 12)])
def test_cores_beside_a_gpu(number: int, workers: int) -> None:
    assert hardware.share_cores(number, on_cpu=False).workers == workers


def test_the_machine_is_described_without_its_name() -> None:
    text = describe_machine()
    assert cpu_kind() in text
    assert f"torch {torch.__version__}" in text
    assert os.uname().nodename not in text
