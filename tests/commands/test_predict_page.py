"""What ``pedseg predict`` tells of cases without labels: volumes, a page, and what it is not for."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from pedseg.commands.predict import main, parser
from pedseg.evaluation.volumes import measure_volumes
from pedseg.labels import get_convention, regions_from_labels
from pedseg.pages import viewing
from tests.builders import write_case, write_checkpoint
from tests.pages.test_viewing import MODULE

CASES = ("BraTS-PED-90001-000", "<b>bold<")
SENTENCE = "Research software: not for clinical decisions."


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two cases and a network."""
    for seed, case in enumerate(CASES):
        write_case(tmp_path / "in put", case, seed=seed)
    write_checkpoint(tmp_path / "network.ckpt")
    return tmp_path


def predict(world: Path, *words: str) -> int:
    given = ["--checkpoint", str(world / "network.ckpt"), "--input", str(world / "in put"), "--no-mirror"]
    return main([*given, "--output", str(world / "out"), "--device", "cpu", "--precision", "32", *words])


def test_volumes_are_those_of_the_label_maps(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(world) == 0
    assert capsys.readouterr().out.splitlines()[-1] == SENTENCE
    table = pd.read_csv(world / "out" / "volumes.csv")
    rows = {(row["case"], row["region"]): row for row in table.to_dict("records")}
    assert len(rows) == len(table) == 2 * 3
    for case in CASES:
        image = nib.load(world / "out" / f"{case}.nii.gz")
        regions = regions_from_labels(np.asarray(image.dataobj).astype(np.uint8), get_convention("brats2023"))
        voxel = float(np.prod(image.header.get_zooms()))
        for region, mask in zip(("wt", "tc", "et"), regions, strict=True):
            parts, number = ndimage.label(mask, np.ones((3, 3, 3)))
            row = rows[case, region]
            assert row["volume_mm3"] == pytest.approx(mask.sum() * voxel)
            assert row["components"] == number
            assert row["largest_mm3"] == pytest.approx(max(np.bincount(parts.ravel())[1:], default=0) * voxel)
    assert not (world / "out" / "index.html").exists()


def test_the_page(world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "niivue_module", lambda: (MODULE, "1", ""))
    assert predict(world, "--page", "--view", "1") == 0
    assert f"page: {world / 'out' / 'index.html'}" in capsys.readouterr().out
    page = (world / "out" / "index.html").read_text()
    assert f'<p class="warning">{SENTENCE}</p>' in page
    assert "Images are expected as BraTS prepares them" in page
    assert "nothing on this page says how good the label maps are" in page
    assert "&lt;b&gt;bold&lt;" in page
    assert "<b>bold" not in page
    assert {path.stem for path in (world / "out" / "figures").iterdir()} == {"preview_000"}
    assert predict(world, "--page", "--view", "1", "--save-probabilities") == 0
    assert (world / "out" / "probabilities").is_dir()
    assert "probability of WT" in (world / "out" / "index.html").read_text()
    assert predict(world, "--page", "--view", "0") == 0  # again, on label maps that are kept
    assert "<canvas" not in (world / "out" / "index.html").read_text()


def test_files_of_others_are_not_replaced(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "out").mkdir()
    (world / "out" / "volumes.csv").write_text("mine")
    (world / "network.ckpt").write_bytes(b"")  # nothing is computed before
    assert predict(world) == 2
    assert "volumes.csv was not written by pedseg" in capsys.readouterr().err
    assert (world / "out" / "volumes.csv").read_text() == "mine"


def test_help_says_what_is_expected_and_what_it_is_not_for() -> None:
    text = " ".join(parser().format_help().split())
    assert SENTENCE in text
    assert "four sequences on one grid, near 1 mm, brain alone" in text


def test_no_label_map_no_row() -> None:
    assert list(measure_volumes({}, get_convention("brats2023")).columns)[:3] == ["case", "region", "volume_mm3"]
