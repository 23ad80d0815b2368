"""Masks that several tests of metrics use."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmarks.bench_metrics import tumour


@pytest.fixture(scope="session")
def tumours() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Prediction and label of full size, nested region masks (3, 155, 240, 240)."""
    return tumour(0), tumour(4)
