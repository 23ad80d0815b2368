"""A sweep of W&B: its agent starts what it would start, and what the commands write is read from disk."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pedseg.choosing.validators import DEFAULT
from pedseg.runs import RunFolder
from pedseg.settings.conf import values_of
from pedseg.tracking.sweeps import sweep_file
from tests.training import arguments, train
from tests.wandb_records import history_of, run_of, sessions, summary_of

POINTS = ((1, 0.1), (3, 0.1))
ALPHA, LAMBDA = "adaptation.dann.alpha_max", "adaptation.dann.lambda_domain"


@pytest.fixture
def sweep() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(sweep_file("alpha_lambda").read_text())
    return content


def test_the_sweep_is_hydras_grid_and_ranks_without_labels(sweep: Mapping[str, Any]) -> None:
    grid = values_of("sweep/alpha_lambda")["hydra"]["sweeper"]["params"]
    given = {name: ",".join(map(str, values["values"])) for name, values in sweep["parameters"].items()}
    assert given == grid
    assert sweep["metric"] == {
        "name": f"validator/plain/{DEFAULT}",
        "goal": "maximize",
    }  # all are the higher the better


def agent_starts(
    sweep: Mapping[str, Any], point: tuple[int, float], run_id: str, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let W&B's agent start a run of the sweep, as the server would tell it to."""
    from wandb.wandb_agent import Agent

    assert sweep["command"][:2] == ["pedseg", "train"]
    whole = [sys.executable, "-m", *sweep["command"], *more]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    monkeypatch.setenv("WANDB_MODE", "offline")
    agent: Any = Agent(None, None, sweep_id="sweep123")
    agent._sweep_command = whole
    values = {ALPHA: {"value": point[0]}, LAMBDA: {"value": point[1]}}
    agent._command_run({"type": "run", "run_id": run_id, "program": None, "args": values})
    assert agent._run_processes[run_id].wait() == 0


def test_the_agents_run_has_the_result_also_of_a_finished_combination(
    sweep: Mapping[str, Any], toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = arguments(toy_world, tmp_path / "runs", "logger.offline=true", "variant=[plain,core]")
    agent_starts(sweep, POINTS[0], "first001", more, monkeypatch)
    (folder,) = (tmp_path / "runs" / "uda").iterdir()
    run = RunFolder(folder / "fold_0")
    trained = run.checkpoint.read_bytes()
    agent_starts(sweep, POINTS[0], "second02", more, monkeypatch)
    assert run.checkpoint.read_bytes() == trained
    records = sessions(run.path)
    assert [(run_of(one).run_id, run_of(one).sweep_id) for one in records] == [
        ("first001", "sweep123"),
        ("second02", "sweep123"),
    ]
    first, second = map(summary_of, records)
    told = {name for name in first if name.startswith(("test/", "validator/", "best/", "last/"))}
    assert {sweep["metric"]["name"], "test/plain/wt/dice", "test/core/tc/dice"} <= told
    assert {name: second[name] for name in told} == {name: first[name] for name in told}
    curves = [[row["train/loss"] for row in history_of(one) if "train/loss" in row] for one in records]
    assert curves[0] == curves[1] != []
    assert (run.path / "wandb_id").read_text() == "second02"
    paths = [path.read_bytes() for path in (run.path / "wandb").rglob("*") if path.is_file()]
    assert not [data for data in paths for word in (str(tmp_path), str(toy_world)) if word.encode() in data]


def test_hydras_sweep_gives_the_same_table(
    sweep: Mapping[str, Any], toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each combination, with the same columns and values."""
    monkeypatch.chdir(tmp_path)
    for number, point in enumerate(POINTS):
        more = arguments(toy_world, tmp_path / "of the agent", "logger.offline=true")
        agent_starts(sweep, point, f"agent{number}", more, monkeypatch)
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.delenv(name, raising=False)
    command = [word for word in sweep["command"][2:] if not word.startswith("$")]
    points = [f"{ALPHA}=1,3", f"{LAMBDA}=0.1"]
    assert train(toy_world, tmp_path / "of hydra", "-m", *command, *points, "logger.offline=true") == 0
    tables = [table(tmp_path / place) for place in ("of the agent", "of hydra")]
    assert len(tables[0]) == len(POINTS)
    assert tables[0] == tables[1]


def table(runs: Path) -> dict[str, dict[str, float]]:
    """Results of each run, by its name."""
    rows = {}
    for path in runs.glob("uda/*/fold_0"):
        (records,) = sessions(path)
        kept = ("test/", "validator/", "best/", "last/")
        rows[run_of(records).display_name] = {n: v for n, v in summary_of(records).items() if n.startswith(kept)}
    return rows


def test_the_command_says_where_the_sweep_lies() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pedseg", "dashboard", "--sweep", "alpha_lambda"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(shlex.split(shlex.quote(done.stdout.strip()))[0]) == sweep_file("alpha_lambda")
