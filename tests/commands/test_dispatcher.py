"""The console command."""

import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from pedseg.commands.dispatcher import VERBS, main

ROOT = Path(__file__).parents[2]


def test_the_console_command_is_the_dispatcher() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(scripts) == ["pedseg"]
    module, _, name = scripts["pedseg"].partition(":")
    assert getattr(import_module(module), name) is main


def test_every_command_has_a_verb_and_a_module_of_its_own() -> None:
    """What ``python -m pedseg.<verb>`` runs calls the command, and there is no other such module."""
    package = ROOT / "src" / "pedseg"
    thin = {path.stem for path in package.glob("*.py") if "SystemExit(main())" in path.read_text()} - {"__main__"}
    assert thin | {"phantom"} == set(VERBS)
    for verb in thin:
        assert import_module(f"pedseg.{verb}").main is import_module(f"pedseg.commands.{verb}").main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian", "fold=0"], "there is no verb trian; do you mean train?"),
        (["reports"], "do you mean report?"),
        (["xyz"], "the verbs are phantom, check, prepare, train"),
        (["--device", "cpu"], "there is no verb --device"),
        ([], "usage: pedseg VERB"),
    ],
)
def test_what_is_no_verb(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert not shown.out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pedseg {version('pedseg')}\n"


def test_a_verb_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    words = ["evaluate", "--predictions", "no maps", "--labels", "nor labels", "--output", "scores.csv"]
    command = [sys.executable, "-m", "pedseg", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("pedseg: no maps")
