"""What pedseg did not write stays, whatever is overwritten."""

from pathlib import Path

import pytest

from pedseg.data.claiming import claim_store
from pedseg.data.cohort_settings import CohortSettings
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.ownership import clear, foreign, note, own, refuse_foreign
from pedseg.runs import RunFolder
from pedseg.settings.variants import Variant
from tests.composed import settings

FOREIGN = ("checkpoints/mine.ckpt", "predictions/mine.nii.gz", "predictions/plain/b.nii.gz", "predictions/other/a.csv")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_what_is_listed_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    note(folder, ["a", "figures/", "../outside"])
    touch(folder, "a", "b", "figures/c/d", "empty/e")
    touch(tmp_path, "outside")
    assert foreign(folder) == ["b", "empty/e"]
    with pytest.raises(PedsegError, match="b was not written by pedseg"):
        refuse_foreign(folder, ["a", "b"])
    clear(folder)
    assert files(tmp_path) == {"out/b", "out/empty/e", "outside"}
    assert not (folder / "figures").exists()


def test_a_damaged_list_removes_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / ".pedseg-files.json", {"a": 1})
    with pytest.raises(PedsegError, match="is no list of names"):
        own(tmp_path)


def test_a_run_that_is_overwritten_keeps_files_of_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = RunFolder(tmp_path)
    run.begin(settings(), overwrite=False)
    run.variant("plain").begin(Variant(), ["a"])
    touch(tmp_path, "checkpoints/last.ckpt", "metrics.csv", "finished.json", "predictions/plain/a.nii.gz", *FOREIGN)
    run.begin(settings(seed=1), overwrite=True)
    assert files(tmp_path) == {".pedseg-files.json", "config.json", *FOREIGN}
    assert "mine.ckpt" in caplog.text
    with pytest.raises(PedsegError, match=r"b\.nii\.gz was not written by pedseg"):
        run.variant("plain").check(["b"])


def test_a_folder_that_is_no_run_is_not_made_one(tmp_path: Path) -> None:
    touch(tmp_path, "checkpoints/last.ckpt")
    with pytest.raises(PedsegError, match="was not written by pedseg"):
        RunFolder(tmp_path).begin(settings(), overwrite=True)
    assert files(tmp_path) == {"checkpoints/last.ckpt"}


def test_a_store_that_is_overwritten_keeps_files_of_others(tmp_path: Path) -> None:
    before = CohortSettings("ped", labelled=False, convention=None, spacing_mm=None)
    after = CohortSettings("ped", labelled=False, convention=None, spacing_mm=(2.0, 2.0, 2.0))
    claim_store(tmp_path, before, overwrite=False)
    touch(tmp_path, "notes.txt", "index.json", "cases/x/image.b2nd", "cases/x/mine.txt", "cases/y/scan.nii")
    write_json(tmp_path / "cases/x/case.json", {})
    assert claim_store(tmp_path, after, overwrite=True)
    assert files(tmp_path) == {"notes.txt", "cases/x/mine.txt", "cases/y/scan.nii", "settings.json"}


def test_a_foreign_folder_is_no_store(tmp_path: Path) -> None:
    touch(tmp_path, "scan.nii")
    for overwrite in (False, True):
        with pytest.raises(PedsegError, match=r"is no store: it holds scan\.nii"):
            claim_store(
                tmp_path, CohortSettings("ped", labelled=False, convention=None, spacing_mm=None), overwrite=overwrite
            )
    assert files(tmp_path) == {"scan.nii"}
