"""The package as users install it."""

import os
import re
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


PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
OWN = {"mine"}  # what recipes make


def test_pages_name_only_what_exists() -> None:
    """Every experiment has a row in the table of models, and every experiment and target that a page uses is there."""
    files = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert files <= set(re.findall(r"`(\w+)`", (ROOT / "docs" / "models.md").read_text(encoding="utf-8")))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "extending.md")
    used = {name for group in re.findall(r"experiment=([a-z][\w,]+)", text) for name in group.split(",")}
    assert used - OWN <= files
    targets = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 9000
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("https://")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_site_builds_with_every_link_and_asks_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install -e '.[dev]')")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "the site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "the site").rglob("*.html"):
        asked = re.findall(
            r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?:)?//', page.read_text(encoding="utf-8")
        )
        assert asked == [], page
