"""Every block of docs/extending.md is written to the file that it names, and every command there is run.

What lies outside the tree is written to a folder of its own; what changes the tree, to a copy of it.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from pedseg.commands import prepare, train
from pedseg.files import read_json
from pedseg.runs import PLAIN, RunFolder
from tests.training import rows

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
KINDS = ["method", "network", "cohort", "label convention", "validator", "metric", "experiment"]
OUTSIDE = "mylab"
LONGEST = 12_000  # characters


class Block(NamedTuple):
    """A block of the page: its language, the file that its first line names, and what follows."""

    language: str
    file: str
    text: str


def chapter(kind: str) -> str:
    return re.split("^## ", TEXT.partition(f" {kind}\n\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(kind: str) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", chapter(kind), re.MULTILINE | re.DOTALL)
    named = [(language, *text.partition("\n")[::2]) for language, text in found if language != "bash"]
    return [Block(language, first.removeprefix("# "), text) for language, first, text in named]


def commands(kind: str) -> list[list[str]]:
    """Words of the commands, without variables that are set before them."""
    lines = "\n".join(re.findall(r"^```bash\n(.*?)^```$", chapter(kind), re.MULTILINE | re.DOTALL)).splitlines()
    return [[word for word in shlex.split(line) if not word.startswith("PYTHONPATH=")] for line in lines]


def write(block: Block, folder: Path) -> None:
    """Write a new file, or exchange lines of one that is there: each `-` for the `+` that follow."""
    path = folder / block.file
    if block.language != "diff":
        assert not path.exists(), block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    for old, new in edits(block.text):
        assert text.count(old) == 1, f"{block.file}: {old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def edits(diff: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^-", diff, flags=re.MULTILINE)[1:]:
        old, *new = part.splitlines()
        assert all(line.startswith("+") for line in new)
        yield old, "\n".join(line[1:] for line in new)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what lies outside the tree."""
    folder = tmp_path_factory.mktemp("lab")
    for block in (block for kind in KINDS for block in blocks(kind) if block.file.startswith(OUTSIDE)):
        write(block, folder)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with all that is added inside it."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("src", "conf", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for block in (block for kind in KINDS for block in blocks(kind) if not block.file.startswith(OUTSIDE)):
        write(block, folder)
    return folder


@pytest.fixture(scope="module")
def runs(lab: Path, toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the commands that use what lies outside: one is trained."""
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copytree(toy_world / "store", folder / "store")
    where = [f"paths.{name}={folder / name}" for name in ("store", "runs")]
    toy = ["scale=toy", "data.cohorts.adult.convention=brats2023", *where]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(lab)
        patch.syspath_prepend(lab)
        for cohort, name in {"ADULT": "adult", "PED": "ped", "CLINIC": "ped"}.items():
            patch.setenv(f"PEDSEG_{cohort}", str(toy_world / name))
        for kind in ("cohort", "method", "experiment"):
            for _, verb, *words in commands(kind):
                entry, more = (prepare, ["workers=1"]) if verb == "prepare" else (train, ["fold=0"])
                cohorts = [] if any(word.startswith("cohort=") for word in words) else ["cohort=[adult,ped]"]
                assert entry.main([*words, *cohorts, *toy, *more]) == 0, words
    return folder / "runs"


def run_in(tree: Path, lab: Path, *words: object) -> str:
    """Run a command with the copy of the tree, and with the folder outside; return what it prints."""
    path = os.pathsep.join(map(str, (lab, tree / "src", tree)))
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_kind_has_a_recipe_and_the_page_is_short() -> None:
    assert [title.split(" ", 1)[1] for title in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)] == KINDS
    assert all(blocks(kind) and commands(kind) for kind in KINDS)
    assert len(TEXT) < LONGEST


def test_files_that_are_named_are_there() -> None:
    named = set(re.findall(r"`((?:tests|conf|docs|networks|choosing|metrics)/[\w/]+(?:\.\w+)?)`", TEXT))
    assert named
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "src" / "pedseg" / name).exists(), name


def test_method_cohort_and_experiment_from_outside(runs: Path) -> None:
    (run,) = map(RunFolder, runs.rglob("fold_0"))
    assert "uda_mean_distance" in run.path.parts
    settings = read_json(run.config)
    assert settings["data"]["target"] == ["clinic"]
    assert any(float(row["train/loss_mean_distance"] or 0) > 0 for row in rows(run.metrics))


def test_the_tests_take_up_what_is_added(tree: Path, lab: Path) -> None:
    """Those that the page names for networks and conventions, of what is new; of metrics; and the method's own."""
    for kind, file in {"network": "tests/networks/test_kinds.py", "label convention": "tests/test_labels.py"}.items():
        assert commands(kind) == [["python", "-m", "pytest", "-q", file]]
    files = ["tests/networks/test_kinds.py", "tests/test_labels.py", "tests/metrics/test_scoring.py"]
    chosen = "single_unet or every_kind or test_scoring or test_labels or mean_distance"
    own = lab / OUTSIDE / "test_mean_distance.py"
    printed = run_in(
        tree, lab, "pytest", "-vv", "--rootdir", tree, "-c", tree / "pyproject.toml", *files, own, "-k", chosen
    )
    for name in ("single_unet", "clinic (ET 30, NC 10+11, ED 20)", "test_promises_of_every_method"):
        assert re.search(f"{re.escape(name)}.* PASSED", printed), printed


def test_validator_and_metric_by_the_command_line(tree: Path, lab: Path, runs: Path, toy_world: Path) -> None:
    ((_, *words),) = commands("validator")
    assert "tumour found" in run_in(tree, lab, "pedseg", *[runs if word == "runs" else word for word in words])
    (run,) = map(RunFolder, runs.rglob("fold_0"))
    assert read_json(run.variant(PLAIN).validators)["scores"]["found"] in (0, 0.5, 1)
    places = {"predictions": run.variant(PLAIN).path, "labels": toy_world / "ped", "scores.csv": runs / "scores.csv"}
    ((_, *words),) = commands("metric")
    printed = run_in(tree, lab, "pedseg", *[places.get(word, word) for word in words], "--subset")
    assert "precision" in printed
    scores = pd.read_csv(runs / "scores.csv")
    assert scores.precision.between(0, 1).all()
