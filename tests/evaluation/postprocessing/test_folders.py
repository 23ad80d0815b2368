"""Rules on folders of label maps: what is kept, what is refused, what is counted."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.cases.label_maps import find_label_maps
from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluation.postprocessing.folders import postprocess_folder, read_applied, read_checked_label
from pedseg.inference.postprocessing import KeepLargest, LowEDRatio, Rule, SmallComponents
from pedseg.labels import Region, get_convention

CONVENTION = get_convention("brats2023")  # 1 NC, 2 ED, 3 ET
RULES: tuple[Rule, ...] = (KeepLargest(Region.WT),)
AFFINE = np.array([[-1.0, 0.1, 0, 20], [0.1, -1.0, 0, 30], [0, 0, 2.0, -5], [0, 0, 0, 1]])


def write(path: Path, *voxels: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.array(voxels, dtype=np.uint8)[:, None, None], AFFINE), path)


def read(path: Path) -> list[int]:
    voxels: NDArray[np.uint8] = np.asarray(nib.load(path).dataobj)
    return [int(voxel) for voxel in voxels[:, 0, 0]]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw ones"
    write(folder / "a.nii.gz", 2, 1, 3, 0, 3, 0)
    write(folder / "b.nii.gz", 0, 2, 2, 0, 0, 0)
    write(folder / ".hidden.nii.gz", 1)
    (folder / "predictions.json").write_text("{}")
    return folder


def test_what_is_written(raw: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in raw.iterdir()}
    applied = postprocess_folder(raw, tmp_path / "out", RULES, convention=CONVENTION, workers=1)
    assert {path: path.read_bytes() for path in raw.iterdir()} == before
    assert read(tmp_path / "out" / "a.nii.gz") == [2, 1, 3, 0, 0, 0]
    assert read(tmp_path / "out" / "b.nii.gz") == [0, 2, 2, 0, 0, 0]
    np.testing.assert_array_equal(nib.load(tmp_path / "out" / "a.nii.gz").affine, nib.load(raw / "a.nii.gz").affine)
    assert applied.changes == {"a": {"wt": 1, "tc": 1, "et": 1}, "b": {"wt": 0, "tc": 0, "et": 0}}
    assert applied.changed_cases == 1
    assert read_applied(tmp_path / "out") == applied
    assert read_applied(tmp_path) is None


@pytest.mark.slow
def test_several_processes_write_the_same(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pedseg.evaluation.postprocessing.folders.CASES_WORTH_A_PROCESS", 1)
    one, two = (
        postprocess_folder(raw, tmp_path / str(n), [LowEDRatio(), SmallComponents(2)], convention=CONVENTION, workers=n)
        for n in (1, 2)
    )
    assert one == two
    assert (tmp_path / "1" / "a.nii.gz").read_bytes() == (tmp_path / "2" / "a.nii.gz").read_bytes()
    assert read(tmp_path / "1" / "a.nii.gz") == [1, 1, 0, 0, 0, 0]


def test_what_the_same_rules_made_is_kept(raw: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = postprocess_folder(raw, output, RULES, convention=CONVENTION, workers=1)
    times = {path: path.stat().st_mtime_ns for path in output.glob("*.nii.gz")}
    (output / "b.nii.gz").unlink()  # a run that was cut off
    write(raw / "c.nii.gz", 3, 0, 3)  # a case that came later
    again = postprocess_folder(raw, output, RULES, convention=CONVENTION, workers=1)
    assert (output / "a.nii.gz").stat().st_mtime_ns == times[output / "a.nii.gz"]
    assert read(output / "b.nii.gz") == [0, 2, 2, 0, 0, 0]
    assert again.changes == {**first.changes, "c": {"wt": 0, "tc": 0, "et": 0}}


@pytest.mark.parametrize("what", ["rules", "convention", "raw label map", "gone", "nobody knows"])
def test_what_was_made_otherwise_is_refused(raw: Path, tmp_path: Path, what: str) -> None:
    output, rules, convention = tmp_path / "out", RULES, CONVENTION
    postprocess_folder(raw, output, RULES, convention=CONVENTION, workers=1)
    (output / "scores.csv").write_text("old")
    if what == "rules":
        rules = (KeepLargest(Region.TC),)
    elif what == "convention":
        convention = get_convention("msd_task01")
    elif what == "raw label map":
        write(raw / "b.nii.gz", 3, 3, 0, 3)
    elif what == "gone":
        (raw / "b.nii.gz").unlink()
    else:
        (output / "rules.json").unlink()
    before = {path: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(PedsegError, match="made by other rules or of another label map"):
        postprocess_folder(raw, output, rules, convention=convention, workers=1)
    assert {path: path.read_bytes() for path in output.iterdir()} == before
    if what == "gone":  # only label maps of the same cases are ever replaced
        with pytest.raises(PedsegError, match="made by other rules or of another label map"):
            postprocess_folder(raw, output, rules, convention=convention, workers=1, overwrite=True)
        return
    postprocess_folder(raw, output, rules, convention=convention, workers=1, overwrite=True)
    assert not (output / "scores.csv").exists()
    if what == "raw label map":
        assert read(output / "b.nii.gz") == [3, 3, 0, 0]


def test_raw_label_maps_are_never_the_output(raw: Path) -> None:
    with pytest.raises(PedsegError, match="raw label maps, which stay as they are"):
        postprocess_folder(raw, raw / ".." / raw.name, RULES, convention=CONVENTION, workers=1, overwrite=True)


def test_a_label_map_that_cannot_be_used_leaves_the_others(raw: Path, tmp_path: Path) -> None:
    (raw / "d.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ProblemsError, match="1 of 3") as caught:
        postprocess_folder(raw, tmp_path / "out", RULES, convention=CONVENTION, workers=1)
    assert [problem.case for problem in caught.value.problems] == ["d"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["a.nii.gz", "b.nii.gz"]


def test_a_foreign_label_refuses_the_folder(raw: Path, tmp_path: Path) -> None:
    """One label map in other voxel labels says that all may be: none is written."""
    write(raw / "c.nii.gz", 1, 4, 0)
    with pytest.raises(ProblemsError, match="nothing was written: 1 of 3 label maps") as caught:
        postprocess_folder(raw, tmp_path / "out", RULES, convention=CONVENTION, workers=1)
    for part in (
        f"{raw / 'c.nii.gz'}: holds label 4",
        "Together they hold 1+2+3+4",
        "brats_ped2024 (ET 1",
        "--convention",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_names_and_other_files(raw: Path, tmp_path: Path) -> None:
    """Names that conversions and Windows leave are those of the same cases; probabilities are no label maps."""
    (raw / "a.nii.gz").rename(raw / "a-seg.nii.gz")
    (raw / "b.nii.gz").rename(raw / "b.NII.GZ")
    nib.save(nib.Nifti1Image(np.zeros((6, 1, 1, 3), dtype=np.float32), AFFINE), raw / "a_probabilities.nii.gz")
    for _ in range(2):
        applied = postprocess_folder(raw, tmp_path / "out", RULES, convention=CONVENTION, workers=1)
        assert list(applied.changes) == list(applied.inputs) == ["a", "b"]
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"a-seg.nii.gz", "b.NII.GZ", "rules.json"}
    assert (tmp_path / "out" / "b.NII.GZ").read_bytes()[:2] == b"\x1f\x8b"


def test_folders_that_hold_no_label_maps(raw: Path, tmp_path: Path) -> None:
    assert list(find_label_maps(raw)) == ["a", "b"]
    write(raw / "b.nii", 1)
    with pytest.raises(PedsegError, match="both of one case"):
        find_label_maps(raw)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PedsegError, match="no label map"):
        find_label_maps(tmp_path / "empty")
    with pytest.raises(PedsegError, match="no such folder"):
        postprocess_folder(tmp_path / "none", tmp_path / "out", RULES, convention=CONVENTION, workers=1)
    assert not (tmp_path / "out").exists()
    (raw / "rules.json").write_text('{"rules": []}')
    with pytest.raises(PedsegError, match="does not say its convention"):
        read_applied(raw)


def test_labels_must_be_of_the_convention(raw: Path) -> None:
    assert read_checked_label(raw / "a.nii.gz", CONVENTION).shape == (1, 1, 6)
    with pytest.raises(PedsegError, match="holds label 3, which brats2021"):
        read_checked_label(raw / "a.nii.gz", get_convention("brats2021"))
