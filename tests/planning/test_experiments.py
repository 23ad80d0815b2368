"""The memory of every experiment's step can be counted: whatever its methods do, they do to tensors without values."""

import pytest

from pedseg.assembly import build_module
from pedseg.planning.memory import step_memory
from pedseg.settings.conf import conf_dir
from tests.composed import settings

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
FROM_OTHERS = "init.run=null"  # models 4-8 begin with weights that are not there


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_memory_of_a_step(experiment: str) -> None:
    run = settings(f"experiment={experiment}", FROM_OTHERS, "scale=toy", "fold=0")
    module = build_module(run, spacing_mm=(8.0, 8.0, 8.0))
    memory = step_memory(
        module,
        patch_size=run.data.patch_size,
        batch_size=run.data.batch_size,
        two_sides=bool(run.data.target or run.data.opposed),
        precision="32",
        gpu=False,
    )
    assert memory.peak > memory.parameters + memory.gradients + memory.optimizer > 0
