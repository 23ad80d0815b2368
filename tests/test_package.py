"""The package as users install it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_an_installed_wheel_carries_its_configuration(tmp_path: Path) -> None:
    """``pip install .`` elsewhere, then ``pedseg train --help`` from any folder."""
    wheels, site = tmp_path / "wheels", tmp_path / "the site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)], check=True)
    (wheel,) = wheels.glob("pedseg-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "pedseg/py.typed" in names
    assert {f"pedseg/pages/templates/{name}" for name in ("page.html", "page.css", "page.js", "viewer.js")} <= set(
        names
    )
    assert {f"pedseg/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")} <= set(names)
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for module in ("train", "prepare"):
        code = f"import pedseg.commands.{module} as m; print(m.__file__); m.main(['--help'])"
        command = [sys.executable, "-P", "-c", code]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
        assert shown.stdout.startswith(str(site))
        assert "\nGroups:\n" in shown.stdout
    by_name = [site / "bin" / "pedseg", module, "--help"]
    listed = subprocess.run(by_name, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert listed.stdout == shown.stdout.partition("\n")[2]


def test_readme_names_only_what_exists() -> None:
    """Every experiment file is in the README's table, and every experiment the README uses is a file."""
    import re

    text = (ROOT / "README.md").read_text()
    files = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert files <= set(re.findall(r"`(\w+)`", text))
    used = {name for group in re.findall(r"experiment=([\w,]+)", text) for name in group.split(",")}
    assert used <= files
    targets = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
