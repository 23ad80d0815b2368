"""Processes that count a share of the cases each find what one finds of all, bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.calibration.populations import calibrated

PROGRAM = """
import json, sys
from types import SimpleNamespace
import torch
from torch import distributed
from pedseg.assembly import Processes
from pedseg.calibration.record import write_thresholds
from pathlib import Path
from tests.calibration.populations import case, empty

folder, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)

def reduce(total, reduce_op):
    distributed.all_reduce(total)
    return total

strategy = SimpleNamespace(reduce=reduce)
trainer = SimpleNamespace(strategy=strategy, world_size=world, global_rank=rank, is_global_zero=rank == 0)
processes = Processes(torch.device("cpu"), trainer)
for rule in json.loads(sys.argv[4]):
    calibration = empty(rule, source=5, target=7)
    for index in processes.share(range(5)):
        calibration.source.count(index, *case(0.3, index))
    for index in processes.share(range(7)):
        calibration.target.count(index, case(0.7, 1000 + index)[0])
    for total in calibration.totals:
        processes.add_up(total)
    write_thresholds(Path(folder) / f"{rule['calibration']}.{rank}.json", calibration)
"""
RULES: list[dict[str, object]] = [
    {"calibration": "published", "shares": {"tc": 0.9, "et": 0.2}},
    {"calibration": "estimated", "calibrated_parts": ["tc", "et"]},
    {"calibration": "bbse"},
    {"calibration": "map", "shares": {"tc": 0.9}},
    {"calibration": "per_case"},
]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without distributed")
def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    from pedseg.calibration.record import write_thresholds

    commands = [[sys.executable, "-c", PROGRAM, str(tmp_path), str(rank), "2", json.dumps(RULES)] for rank in range(2)]
    running = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for command in commands]
    assert [one.wait() for one in running] == [0, 0]
    for rule in RULES:
        write_thresholds(alone := tmp_path / "alone.json", calibrated(rule, [0.3] * 5, [0.7] * 7))
        for rank in range(2):
            assert (tmp_path / f"{rule['calibration']}.{rank}.json").read_bytes() == alone.read_bytes()
