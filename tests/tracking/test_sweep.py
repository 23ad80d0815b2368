"""A sweep of W&B: its agent starts what it would start, and what the commands write is read from disk."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pedseg.choosing.validators import DEFAULT
from pedseg.commands.dashboard import main as dashboard
from pedseg.runs import RunFolder
from pedseg.settings.conf import values_of
from pedseg.tracking.sweeps import sweep_file
from tests.training import arguments, train
from tests.wandb_records import history_of, run_of, sessions, summary_of

POINT = (3, 0.1)
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


def test_the_agents_runs_and_hydras_are_the_same_rows_of_a_table(
    sweep: Mapping[str, Any], toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is told of a combination twice: it is trained once, and both of its runs have the result."""
    monkeypatch.chdir(tmp_path)
    agents, hydras = tmp_path / "of the agent", tmp_path / "of hydra"
    more = arguments(toy_world, agents, "logger.offline=true")
    agent_starts(sweep, POINT, "first001", more, monkeypatch)
    (folder,) = (agents / "uda").iterdir()
    run = RunFolder(folder / "fold_0")
    trained = run.checkpoint.read_bytes()
    agent_starts(sweep, POINT, "second02", more, monkeypatch)
    assert run.checkpoint.read_bytes() == trained
    records = sessions(run.path)
    told = [(run_of(one).run_id, run_of(one).sweep_id) for one in records]
    assert told == [("first001", "sweep123"), ("second02", "sweep123")]
    assert (run.path / "wandb_id").read_text() == "second02"
    curves = [[row["train/loss"] for row in history_of(one) if "train/loss" in row] for one in records]
    assert curves[0] == curves[1] != []
    paths = [path.read_bytes() for path in (run.path / "wandb").rglob("*") if path.is_file()]
    assert not [data for data in paths for word in (str(tmp_path), str(toy_world)) if word.encode() in data]

    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.delenv(name, raising=False)
    command = [word for word in sweep["command"][2:] if not word.startswith("$")]
    points = [f"{name}={value}" for name, value in zip(sweep["parameters"], POINT, strict=True)]
    assert train(toy_world, hydras, "-m", *command, *points, "logger.offline=true") == 0
    (of_hydra,) = sessions(hydras / "uda" / folder.name / "fold_0")
    rows = [row_of(one) for one in (*records, of_hydra)]
    assert rows[0] == rows[1] == rows[2]
    assert {sweep["metric"]["name"], "test/plain/wt/dice"} <= rows[0].keys()


def row_of(records: list[Any]) -> dict[str, Any]:
    """A run in the table of runs: its name and its results."""
    kept = ("test/", "validator/", "best/", "last/")
    results = {name: value for name, value in summary_of(records).items() if name.startswith(kept)}
    return {"name": run_of(records).display_name, **results}


def test_the_command_says_where_the_sweep_lies(capsys: pytest.CaptureFixture[str]) -> None:
    assert dashboard(["--sweep", "alpha_lambda"]) == 0
    assert Path(capsys.readouterr().out.strip()) == sweep_file("alpha_lambda")
