"""Processes where a machine has no place for what they share."""

import pytest

from pedseg.data import parallel
from pedseg.errors import PedsegError


def test_one_process_needs_no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(parallel, "ProcessPoolExecutor", refused)  # as where /dev/shm cannot be written to
    with parallel.shared_processes(1):
        assert list(parallel.run_parallel(abs, [-1, -2], workers=1, description="")) == [1, 2]
    with pytest.raises(PedsegError, match="use one: workers=1"), parallel.shared_processes(2):
        pass
