"""Places that cannot be written, and disks that are full, are found before the work."""

import os
from pathlib import Path

import pytest

from pedseg.errors import PedsegError
from pedseg.files import check_place, check_room


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nothing")
    for free in ("new", "a/b/c", "file", "gone", "folder/x"):
        check_place(tmp_path / free)
    for taken, named in (("folder", "folder"), ("pipe", "pipe"), ("file/x/y", "file"), ("gone/x", "gone")):
        with pytest.raises(PedsegError, match=f"{named}: is in the way.*move it away"):
            check_place(tmp_path / taken)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PedsegError, match="folder: may not be written to; change its permissions"):
        check_place(tmp_path / "folder" / "x")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "pipe", "gone"}


def test_room(tmp_path: Path) -> None:
    check_room(tmp_path / "new", 1000, what="label maps")
    with pytest.raises(PedsegError, match=r"new: label maps need 1,000,000,000,000 MB at least.*make room"):
        check_room(tmp_path / "new", 10**18, what="label maps")
