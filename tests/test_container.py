"""The container recipes: their own steps, run in an empty place with what they copy there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("useradd",)  # what belongs to the image alone


def copied() -> list[str]:
    """What the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (.*)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def steps() -> list[str]:
    """Its RUN steps, each in one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [step for step in re.findall(r"^RUN (.*)$", text, re.MULTILINE) if not step.startswith(ELSEWHERE)]


def test_both_recipes_install_the_same() -> None:
    definition = (ROOT / "apptainer.def").read_text(encoding="utf-8")
    files = re.findall(r"^ +(\S+) /opt/pedseg/(\S+)$", definition, re.MULTILINE)
    assert [source for source, _ in files] == copied()
    assert all(source == place and (ROOT / source).exists() for source, place in files)
    (extras,) = set(re.findall(r'"(\.\[[a-z,]+\])"', definition))
    assert all(extras in text for text in (definition, *[step for step in steps() if "pip" in step]))


@pytest.mark.slow
def test_the_steps_run_in_an_empty_place(tmp_path: Path) -> None:
    root, venv = tmp_path / "opt pedseg", tmp_path / "python"
    for name in copied():
        source, place = ROOT / name, root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path), "TORCH_INDEX": ""}
    for step in steps():
        subprocess.run(["sh", "-ec", step], check=True, cwd=root, env=environment, stdout=subprocess.DEVNULL)
    said = subprocess.run(
        ["pedseg", "--version"], check=True, capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert re.fullmatch(r"pedseg \d+\.\d+\.\d+", said.stdout.strip())
    subprocess.run(["pedseg", "train", "--help"], check=True, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
