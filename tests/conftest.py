"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference material that lies beside the checkout; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("PEDSEG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference material at {folder} (set PEDSEG_SHARED)")
    return folder


@pytest.fixture(scope="session")
def peers_python() -> Path:
    """Interpreter of the environment that holds nnU-Net; tests that compare with it skip where it is absent."""
    python = os.environ.get("PEDSEG_PEERS_PYTHON")
    if not python or not Path(python).exists():
        pytest.skip("no peers' environment (set PEDSEG_PEERS_PYTHON to a Python with nnunetv2)")
    return Path(python)
