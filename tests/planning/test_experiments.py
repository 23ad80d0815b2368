"""The memory of every experiment's step can be counted: whatever its methods do, they do to tensors without values."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pedseg.assembly import build_module
from pedseg.commands.hydra_entry import RESOLVERS, conf_dir
from pedseg.planning.memory import step_memory

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
FROM_OTHERS = "init.run=null"  # models 4-8 begin with weights that are not there


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_memory_of_a_step(experiment: str) -> None:
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(f"pedseg.{name}", resolver, replace=True)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        chosen = [f"experiment={experiment}", FROM_OTHERS, "scale=toy", "fold=0"]
        cfg = compose("train", [*chosen, "experiment_name=run", "run_dir=runs", "run_name=run"])
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    module = build_module(cfg, config, spacing_mm=(8.0, 8.0, 8.0))
    data = config["data"]
    memory = step_memory(
        module,
        patch_size=data["patch_size"],
        batch_size=data["batch_size"],
        two_sides=bool(data["target"] or data.get("opposed")),
        precision="32",
        gpu=False,
    )
    assert memory.peak > memory.parameters + memory.gradients + memory.optimizer > 0
