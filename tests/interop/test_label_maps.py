"""Label maps in other names and labels: voxels by hand, the grid kept, nothing lost."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.commands.convert import NAMINGS as OFFERED
from pedseg.commands.convert import main
from pedseg.files import read_json, write_json
from pedseg.imaging import read_label
from pedseg.interop.label_maps import NAMINGS
from pedseg.labels import CONVENTIONS
from tests.builders import AFFINE

VOXELS = np.array([0, 1, 2, 3, 3, 0, 2, 1], dtype=np.uint8).reshape(2, 2, 2)


def write(path: Path, voxels: np.ndarray = VOXELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, AFFINE), path)
    return path


@pytest.mark.parametrize(
    ("naming", "name", "expected"),
    [
        ("nnunet", "BraTS-PED-00001-000.nii.gz", [0, 2, 1, 3]),  # of background, NC, ED, ET
        ("brats2023", "BraTS-PED-00001-000-seg.nii.gz", [0, 1, 2, 3]),
        ("brats2021", "BraTS-PED-00001-000_seg.nii.gz", [0, 1, 2, 4]),
    ],
)
def test_names_and_labels(tmp_path: Path, naming: str, name: str, expected: list[int]) -> None:
    path = write(tmp_path / "our maps" / "BraTS-PED-00001-000.nii.gz")
    output = tmp_path / "their maps"
    assert main(["predictions", str(path.parent), "--output", str(output), "--naming", naming]) == 0
    assert {p.name for p in output.iterdir()} == {name, "predictions.json"}
    assert np.array_equal(read_label(output / name), np.array(expected)[read_label(path)])
    before, after = nib.load(path), nib.load(output / name)
    assert np.array_equal(before.affine, after.affine)
    assert before.header["qform_code"] == after.header["qform_code"]


def test_there_and_back(tmp_path: Path) -> None:
    write(tmp_path / "a" / "X-1_seg.nii")
    assert main(["predictions", str(tmp_path / "a"), "--output", str(tmp_path / "b"), "--naming", "nnunet"]) == 0
    back = ["predictions", str(tmp_path / "b"), "--output", str(tmp_path / "c"), "--naming", "brats2023"]
    assert main(back) == 0  # the record says that they are in msd_task01
    assert np.array_equal(read_label(tmp_path / "c" / "X-1-seg.nii.gz"), VOXELS.T)
    peds2024 = ["predictions", str(tmp_path / "c"), "--output", str(tmp_path / "d"), "--naming", "brats2023"]
    assert main([*peds2024, "--to", "brats_ped2024"]) == 0
    assert np.array_equal(read_label(tmp_path / "d" / "X-1-seg.nii.gz"), np.array([0, 2, 4, 1])[VOXELS.T])


def test_a_foreign_label_refuses_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in" / "good.nii.gz")
    write(tmp_path / "in" / "wrong.nii.gz", VOXELS + 1)
    command = ["predictions", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--naming", "brats2021"]
    assert main(command) == 2
    assert "1 of 2 label maps" in (message := capsys.readouterr().err)
    for part in ("wrong.nii.gz: holds label 4", "Together they hold 1+2+3+4", "brats_ped2024 (ET 1", "--from"):
        assert part in message
    assert not (tmp_path / "out").exists()
    assert main([*command, "--from", "brats_ped2024"]) == 0


def test_a_damaged_file_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in" / "good.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"nothing")
    command = ["predictions", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--naming", "nnunet"]
    assert main(command) == 2
    assert "1 of 2 label maps could not be converted" in capsys.readouterr().err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"good.nii.gz", "predictions.json"}


def test_names_that_are_understood(tmp_path: Path) -> None:
    for name in ("a-seg.nii.gz", "b_seg.nii", "c.NII.GZ", "._a-seg.nii.gz"):
        write(tmp_path / "in" / name)
    write(tmp_path / "in" / "a_probabilities.nii.gz", np.zeros((2, 2, 2, 3), dtype=np.float32))
    command = ["predictions", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--naming", "brats2021"]
    assert main(command) == 0
    assert {p.name for p in (tmp_path / "out").glob("*.nii.gz")} == {f"{case}_seg.nii.gz" for case in "abc"}


def test_the_record_is_believed_and_not_contradicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in" / "a.nii.gz")
    write_json(path.parent / "predictions.json", {"convention": "custom (ET 2, NC 1, ED 3)"})
    command = ["predictions", str(path.parent), "--output", str(tmp_path / "out"), "--naming", "brats2021"]
    assert main([*command, "--from", "brats2023"]) == 2
    assert "are in custom (ET 2, NC 1, ED 3), and --from says brats2023" in capsys.readouterr().err
    assert main(command) == 0
    assert np.array_equal(read_label(tmp_path / "out" / "a_seg.nii.gz"), np.array([0, 1, 4, 2])[VOXELS.T])
    assert read_json(tmp_path / "out" / "predictions.json")["convention"] == str(CONVENTIONS["brats2021"])
    other = write(tmp_path / "other" / "b.nii.gz")
    assert main(["predictions", str(other.parent), *command[2:], "--to", "brats2023"]) == 2
    assert "are not known to be in brats2023" in capsys.readouterr().err


def test_a_conversion_that_was_cut_off_continues(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "in" / f"{name}.nii.gz")
    command = ["predictions", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--naming", "nnunet"]
    assert main(command) == 0
    (tmp_path / "out" / "b.nii.gz").unlink()
    before = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    assert main(command) == 0
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "b.nii.gz").exists()
    (tmp_path / "out" / "b.nii.gz").unlink()
    write(tmp_path / "in" / "a.nii.gz", VOXELS[::-1])
    assert main(command) == 2  # another label map than the one that was converted
    assert main([*command, "--overwrite"]) == 0


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in" / "a.nii.gz")
    command = ["predictions", str(path.parent), "--naming", "brats2023", "--output"]
    assert main([*command, str(path.parent)]) == 2
    assert "as input and as output" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "out")]) == 0
    assert main([*command, str(tmp_path / "out")]) == 2
    assert "a-seg.nii.gz exists" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "out"), "--overwrite"]) == 0
    write(tmp_path / "in" / "a-seg.nii.gz")
    assert main([*command, str(tmp_path / "new")]) == 2
    assert "are both of one case, a" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["predictions", str(tmp_path / "empty"), "--naming", "nnunet", "--output", str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()


def test_command_offers_every_naming() -> None:
    assert set(NAMINGS) == set(OFFERED)


IGNORING = "{et: 3, nc: 1, ed: 2, ignore: [5, 9]}"


def test_ignored_voxels_become_nnunets_and_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxels = np.where(VOXELS == 0, 5, VOXELS).astype(np.uint8)
    voxels[0, 0, 0] = 9
    write(tmp_path / "a" / "X-1.nii.gz", voxels)
    there = ["predictions", str(tmp_path / "a"), "--from", IGNORING, "--output", str(tmp_path / "b")]
    assert main([*there, "--naming", "brats2023"]) == 2
    assert "would become background" in capsys.readouterr().err
    assert not (tmp_path / "b").exists() or not list((tmp_path / "b").glob("*.nii.gz"))
    assert main([*there, "--naming", "nnunet"]) == 0
    assert np.array_equal(read_label(tmp_path / "b" / "X-1.nii.gz"), np.array([4, 2, 1, 3])[VOXELS.T])
    assert "ignore 4" in read_json(tmp_path / "b" / "predictions.json")["convention"]
    back = ["predictions", str(tmp_path / "b"), "--output", str(tmp_path / "c"), "--naming", "brats2023"]
    assert main(back) == 2
    assert main([*back, "--to", IGNORING]) == 0  # the record says that 4 is ignored
    assert np.array_equal(read_label(tmp_path / "c" / "X-1-seg.nii.gz"), np.array([5, 1, 2, 3])[VOXELS.T])


def test_a_convention_that_could_ignore_converts_as_any_where_nothing_is(tmp_path: Path) -> None:
    write(tmp_path / "a" / "X-1.nii.gz")
    there = ["predictions", str(tmp_path / "a"), "--from", IGNORING, "--output", str(tmp_path / "b")]
    assert main([*there, "--naming", "brats2023"]) == 0
    assert read_json(tmp_path / "b" / "predictions.json")["convention"] == str(CONVENTIONS["brats2023"])
