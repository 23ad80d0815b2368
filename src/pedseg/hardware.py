"""What this machine lends a process: the cores that it may use, and the precision that its device computes fast in."""

import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:  # counting cores does not load torch
    import torch

Precision = Literal["32", "bf16", "16"]  # of a forward pass: float32, or autocast to bfloat16 or float16

MOST_LOADERS = 12  # loader processes beside a GPU
CGROUP = Path("/sys/fs/cgroup")
CGROUP_OF_PROCESS = Path("/proc/self/cgroup")
# Names of ONEDNN_MAX_CPU_ISA that allow native bfloat16; every other one forbids it (oneDNN, "CPU Dispatcher Control").
ISA_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
ISAS_WITH_BF16 = ("avx512_core_bf16", "avx512_core_fp16", "avx512_core_amx", "avx10", "all", "default")


class FastPrecision(NamedTuple):
    """A precision, and why it was chosen."""

    precision: Precision
    reason: str


def cores() -> int:
    """Cores that this process may use, at least 1.

    The least of what the CPU mask holds, what the CPU quota of its control group and of those around it amounts to
    (version 1 or 2, rounded up), and what SLURM gave to a task (SLURM_CPUS_PER_TASK, where no mask does it).
    """
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    limits = [mask, *_quotas(), *([int(slurm)] if slurm.isdecimal() else [])]
    return max(1, math.ceil(min(limits)))


def cpu_kind() -> str:
    """What decides how fast this CPU computes: its name and its widest instructions, such as "Intel Xeon (AVX2)".

    Instructions that ONEDNN_MAX_CPU_ISA keeps from the convolutions are not counted.
    """
    import torch

    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    limit = _isa_limit()
    widest = (
        "bfloat16" if _native_bfloat16() else "AVX-512" if able.get("avx512_f") else "AVX2" if able.get("avx2") else ""
    )
    kind = f"{limit} by ONEDNN_MAX_CPU_ISA" if limit else widest or platform.machine()
    return f"{_cpu_name() or able.get('cpu_name') or platform.processor() or 'CPU'} ({kind})"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def describe_machine() -> str:
    """Kind and size of this machine, without its name: what stands beside every measurement."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join([f"{platform.system()}, {cores()} cores of {cpu_kind()}", *gpus, f"torch {torch.__version__}"])


def autocast(device: "torch.device", precision: Precision) -> "torch.autocast":
    """Context in which `device` computes in `precision`."""
    import torch

    dtype = torch.float16 if precision == "16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "32")


class Share(NamedTuple):
    """How a process uses its cores.

    Attributes:
        threads: that compute in it.
        workers: loader processes beside it.
    """

    threads: int
    workers: int


def share_cores(number: int, *, on_cpu: bool) -> Share:
    """Share `number` cores between a training process and its loader processes.

    A step on the CPU takes many times as long as its batch, so one loader is enough (none on a single core); beside a
    GPU the loaders get all cores but one.
    """
    number = max(1, number)
    if on_cpu:
        return Share(threads=max(1, number - 1), workers=min(1, number - 1))
    return Share(threads=1, workers=max(1, min(MOST_LOADERS, number - 1)))


def sleep_while_waiting() -> None:
    """Let threads of PyTorch that wait for others sleep; to be called before it is loaded.

    As it comes they keep their cores busy. Two trainings of two threads on two cores then take four times as long side
    by side as one after the other (tests/benchmarks/bench_side_by_side.py); asleep they cost a training that is alone
    up to a tenth. OMP_WAIT_POLICY, where it is set, stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _quotas() -> list[float]:
    """CPU quotas, in cores, of the control groups that hold this process."""
    try:
        lines = CGROUP_OF_PROCESS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []  # no Linux, or no control groups
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += _quotas_along(CGROUP, path, version=2)
        elif "cpu" in controllers.split(","):
            for hierarchy in {controllers, "cpu"}:
                quotas += _quotas_along(CGROUP / hierarchy, path, version=1)
    return quotas


def _quotas_along(root: Path, path: str, *, version: int) -> list[float]:
    """Quotas of the group at `path` and of all groups around it; inside a container its own group is at the root."""
    group = root / path.strip("/")
    folders = [folder for folder in (group, *group.parents) if folder == root or root in folder.parents]
    return [quota for folder in folders if (quota := _quota(folder, version=version)) is not None]


def _quota(folder: Path, *, version: int) -> float | None:
    """Cores that a control group may use; None if they are not limited."""
    try:
        if version == 2:  # noqa: PLR2004
            allowed, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            allowed, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        quota = int(allowed) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # no such file, or "max"
    return quota if quota > 0 else None


def fast_precision(device: "torch.device") -> FastPrecision:
    """The precision that `device` is fast in; training, prediction, validation and calibration all ask here.

    CUDA with native bfloat16 → bf16, older CUDA → 16 (as nnU-Net); a CPU with native bfloat16 (AVX512-BF16 or AMX) →
    bf16. A CPU without it emulates bfloat16 and is many times slower than in float32 → 32, as any other device.
    """
    import torch

    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return FastPrecision("bf16", f"{name} computes in bfloat16")
        return FastPrecision("16", f"{name} has no bfloat16, but float16")
    if device.type != "cpu":
        return FastPrecision("32", f"device {device.type}: float32 is the one that is tested")
    if _native_bfloat16():
        return FastPrecision("bf16", f"{cpu_kind()} computes in bfloat16")
    return FastPrecision("32", f"{cpu_kind()} has no native bfloat16")


def _native_bfloat16() -> bool:
    """Whether the CPU has AVX512-BF16 or AMX, and convolutions may use it."""
    import torch

    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    limit = _isa_limit()
    allowed = not limit or limit.lower().startswith(ISAS_WITH_BF16)
    return bool(allowed and (able.get("avx512_bf16") or able.get("amx_bf16")))


def _isa_limit() -> str:
    """Instruction set that oneDNN, which computes the convolutions, is held to by the environment; empty if to none."""
    return next((os.environ[name] for name in ISA_LIMITS if os.environ.get(name)), "")
