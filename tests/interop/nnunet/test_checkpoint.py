"""What is opened without trust, and that nothing else runs."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.checkpoint import read_foreign_checkpoint

NUMBERS = [np.float32(0.5), np.float64(0.25), np.int64(3), np.bool_(True), np.float16(2)]


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_numbers_of_numpy_need_no_trust(tmp_path: Path) -> None:
    torch.save(
        {"network_weights": {}, "logging": NUMBERS, "init_args": {"device": torch.device("cpu")}}, tmp_path / "c"
    )
    assert read_foreign_checkpoint(tmp_path / "c", trust=False)["logging"] == NUMBERS


def test_numbers_of_numpy_1_neither(tmp_path: Path) -> None:
    """The module of their constructor had another name then."""
    torch.save({"logging": NUMBERS}, tmp_path / "new")
    with zipfile.ZipFile(tmp_path / "new") as new, zipfile.ZipFile(tmp_path / "old", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in (tmp_path / "old").read_bytes()
    assert read_foreign_checkpoint(tmp_path / "old", trust=False)["logging"] == NUMBERS


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_not_run_without_trust(tmp_path: Path, zipped: bool) -> None:
    torch.save(
        {"network_weights": {}, "x": Malicious(tmp_path / "made")},
        tmp_path / "c",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(PedsegError, match=r"holds posix.mkdir beside .* give --trust" if zipped else "give --trust"):
        read_foreign_checkpoint(tmp_path / "c", trust=False)
    assert not (tmp_path / "made").exists()
    assert "x" in read_foreign_checkpoint(tmp_path / "c", trust=True)
    assert (tmp_path / "made").exists()  # so the test would see it


def test_objects_need_trust(tmp_path: Path) -> None:
    torch.save({"network_weights": {}, "where": Path("x"), "dtype": np.array([None])}, tmp_path / "c")
    with pytest.raises(PedsegError, match=r"numpy._core.multiarray._reconstruct, .*pathlib"):
        read_foreign_checkpoint(tmp_path / "c", trust=False)
    assert read_foreign_checkpoint(tmp_path / "c", trust=True)["where"] == Path("x")


def test_the_allowance_ends_with_the_reading(tmp_path: Path) -> None:
    torch.save({"logging": NUMBERS}, tmp_path / "c")
    read_foreign_checkpoint(tmp_path / "c", trust=False)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "c")


def test_absent_damaged_and_odd_files(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="no such checkpoint"):
        read_foreign_checkpoint(tmp_path / "c", trust=False)
    torch.save({"network_weights": torch.ones(9999)}, tmp_path / "c")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:5000])
    for trust in (False, True):
        with pytest.raises(PedsegError, match=r"cannot be read"):
            read_foreign_checkpoint(tmp_path / "c", trust=trust)
    torch.save([1], tmp_path / "c")
    with pytest.raises(PedsegError, match="is no checkpoint of nnU-Net"):
        read_foreign_checkpoint(tmp_path / "c", trust=False)
