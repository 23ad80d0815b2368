"""The dashboard: its panels show what runs log, and its definition is one that W&B understands."""

import json
from pathlib import Path
from typing import Any

import pytest

from pedseg.choosing.validators import DEFAULT
from pedseg.commands.dashboard import main
from pedseg.runs import RunFolder
from pedseg.tracking.dashboard import TITLE, sections
from tests.wandb_records import run_of, sessions, summary_of

CONTENT = sections("plain", DEFAULT)
ABSENT = 'no wandb-workspaces (pip install "pedseg[dashboard]")'


def test_every_panel_shows_what_a_run_logs(shown: RunFolder) -> None:
    (records,) = sessions(shown.path)
    logged = {name.removesuffix("/_type") for name in summary_of(records)}
    assert {metric for section in CONTENT for panel in section.panels for metric in panel.metrics} <= logged
    config = {item.key: json.loads(item.value_json) for item in run_of(records).config.update}
    for key in (key for section in CONTENT for panel in section.panels for key in panel.settings):
        value: Any = config
        for name in key.split("."):
            value = value[name]
        assert isinstance(value, int | float)


def test_the_definition_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces", reason=ABSENT)
    output = tmp_path / "panels of mine.json"
    assert main(["--entity", "team", "--variant", "core", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    made = json.loads(output.read_text())
    assert (made["entity"], made["project"], made["displayName"]) == ("team", "pedseg", TITLE)
    panels = made["spec"]["section"]["panelBankConfig"]["sections"]
    assert [section["name"] for section in panels] == [section.title for section in CONTENT]
    assert [len(section["panels"]) for section in panels] == [len(section.panels) for section in CONTENT]
    assert "test/core/tc/dice" in output.read_text()
    assert made["spec"]["section"]["runSets"][0]["grouping"] == [{"section": "run", "name": "group"}]


def test_without_a_way_to_wandb_it_goes_to_a_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb_workspaces", reason=ABSENT)
    import wandb

    def save(*_: object) -> None:
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr("wandb_workspaces.workspaces.Workspace.save", save)
    monkeypatch.chdir(tmp_path)
    assert main(["--entity", "team"]) == 0
    assert capsys.readouterr().out == "W&B was not told (no network)\ndashboard.json\n"
    assert json.loads((tmp_path / "dashboard.json").read_text())["displayName"] == TITLE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --entity TEAM, or --output FILE"),
        (["--sweep", "alpha"], "--sweep alpha: there is alpha_lambda"),
    ],
)
def test_what_is_missing_is_said(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_ENTITY", raising=False)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pedseg.tracking.dashboard.find_spec", lambda name: None)
    assert main(["--output", str(tmp_path / "a.json")]) == 2
    said = 'pedseg: dashboard needs wandb-workspaces; install it with pip install "pedseg[dashboard]"\n'
    assert capsys.readouterr().err == said
