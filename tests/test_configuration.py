"""Names of runs, every experiment file, and how mistakes on the command line end."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from pedseg.commands.hydra_entry import conf_dir, overrides_last, run_name
from pedseg.commands.options import exit_code
from pedseg.errors import PedsegError

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
TABLE_2 = {
    "m1_adult", "m2_ped", "m3_mixed", "m4_warmup", "m5_seg_layers", "m6_finetune_all", "m7_finetune_encoder",
    "m8_finetune_decoder", "m1_adult_nods", "m2_ped_nods", "m3_mixed_nods", "uda",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _resolver() -> Iterator[None]:
    OmegaConf.register_new_resolver("pedseg.run_name", run_name, replace=True)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def load(*overrides: str) -> DictConfig:
    return compose("train", list(overrides))


CONTROLS = {
    "uda_alpha0", "uda_alpha0_batchnorm", "m1_adult_fold", "m1_adult_strong", "m1_adult_tent", "uda_released_2024",
}  # fmt: skip
CALIBRATED = {"m1_adult_calibrated", "m1_adult_strong_calibrated", "m1_adult_tent_calibrated", "uda_calibrated"}
WITHOUT_TARGET = {  # what these train with
    "m1_adult_strong": {"strong"},
    "m1_adult_strong_calibrated": {"strong"},
    "uda_released_2024": {"dann"},
}
METHODS = {  # what each variant of uda adapts with
    "uda": {"dann"},
    "uda_released": {"dann"},
    "uda_alpha0": {"dann"},
    "uda_alpha0_batchnorm": {"dann"},
    "uda_multilevel": {"dann"},
    "uda_conditional": {"dann"},
    "uda_convolutional": {"dann"},
    "uda_advent": {"dann"},
    "uda_mean_teacher": {"strong", "mean_teacher"},
    "uda_entropy_prior": {"strong", "entropy", "prior"},
    "uda_class_ratio": {"strong", "mean_teacher"},
    "uda_class_ratio_poly": {"mean_teacher"},
    "uda_dann_class_ratio": {"strong", "dann", "mean_teacher"},
    "uda_style": {"fourier"},
    "uda_histogram": {"histogram"},
    "uda_norm": {"norm"},
    "uda_combined": {"strong", "histogram", "mean_teacher"},
    "uda_calibrated": {"dann"},
}


def test_every_model_of_table_2_has_a_file() -> None:
    assert set(EXPERIMENTS) == TABLE_2 | CONTROLS | CALIBRATED | METHODS.keys()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["experiment=uda", "fold=0"], "uda"),
        (["experiment=uda", "fold=3", "paths.adult=/a b", "logger=wandb", "trainer.devices=4", "scale=demo"], "uda"),
        (["experiment=uda", "adaptation.alpha_max=1"], "uda/adaptation.alpha_max=1"),
        (["seed=2", "adaptation.lambda_domain=0.1"], "uda/adaptation.lambda_domain=0.1,seed=2"),
        (["trainer.max_epochs=5"], "uda/trainer.max_epochs=5"),
        (["folds=/data/splits.json"], "uda/folds=_data_splits.json"),
        (["+data.source.ped=all"], "uda/data.source.ped=all"),
    ],
)
def test_run_name(overrides: list[str], expected: str) -> None:
    assert run_name("uda", overrides) == expected


def test_long_run_names_stay_short_and_apart() -> None:
    names = {run_name("uda", [f"data.source.x{i}=fold" for i in range(60)] + [f"seed={s}"]) for s in (1, 2)}
    assert len(names) == 2
    assert max(len(Path(name).name) for name in names) < 200


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_experiment_reads_target_labels_while_it_adapts(experiment: str) -> None:
    cfg = load(f"experiment={experiment}")
    source = {cohort for cohort, part in cfg.data.source.items() if part}
    assert not source & set(cfg.data.target)
    assert set(cfg.data.target) == ({"ped"} if experiment in METHODS else set())
    expected = METHODS.get(experiment, WITHOUT_TARGET.get(experiment, set()))
    assert {name for name, on in cfg.adaptation.methods.items() if on} == expected
    assert bool(cfg.calibration.ratios) == (experiment in CALIBRATED)


def changes(first: str, second: str) -> set[str]:
    """Settings in which two experiments differ."""
    from pedseg.runs import flatten

    one, other = (
        flatten(OmegaConf.to_container(load(f"experiment={name}"), resolve=False))  # type: ignore[arg-type]
        for name in (first, second)
    )
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.mark.parametrize(
    ("variant", "model", "expected"),
    [
        ("m1_adult_tent", "m1_adult_fold", {"prediction.adapt_steps"}),
        ("m1_adult_calibrated", "m1_adult_fold", {"calibration.ratios.tc", "calibration.target"}),
        ("m1_adult_tent_calibrated", "m1_adult_tent", {"calibration.ratios.tc", "calibration.target"}),
        ("m1_adult_strong_calibrated", "m1_adult_strong", {"calibration.ratios.tc", "calibration.target"}),
        ("uda_calibrated", "uda", {"calibration.ratios.tc"}),
        ("uda_alpha0", "uda", {"adaptation.alpha_max"}),
        ("uda_alpha0_batchnorm", "uda_alpha0", {"model.norm", "adaptation.classifier.norm"}),
        ("uda_conditional", "uda", {"adaptation.reads"}),
        ("uda_advent", "uda", {"adaptation.reads", "adaptation.classifier.pooling"}),
        ("uda_convolutional", "uda", {"adaptation.classifier.blocks", "adaptation.classifier.pooling"}),
        (
            "uda_multilevel",
            "uda",
            {"adaptation.decoder_stage", "adaptation.classifier.blocks", "adaptation.classifier.pooling"},
        ),
        ("uda_released_2024", "uda_released", {"data.source.ped", "data.target", "data.opposed"}),
        (
            "uda_class_ratio",
            "uda_mean_teacher",
            {f"adaptation.mean_teacher.{key}" for key in ("start", "end", "shares.wt", "shares.tc", "shares.et")},
        ),
    ],
)
def test_variants_differ_in_known_switches_only(variant: str, model: str, expected: set[str]) -> None:
    assert changes(model, variant) == expected


@pytest.mark.parametrize("experiment", sorted(METHODS.keys() - {"uda_released"} | {"m1_adult_strong"}))
def test_methods_change_the_adaptation_alone(experiment: str) -> None:
    model = "m1_adult_fold" if experiment == "m1_adult_strong" else "uda"
    others = {key for key in changes(model, experiment) if not key.startswith("adaptation.")}
    batch_norm = {"model.norm"}
    known = {
        "uda_alpha0_batchnorm": batch_norm,
        "uda_norm": batch_norm,
        "uda_calibrated": {"calibration.ratios.tc"},
        "uda_class_ratio_poly": {f"lr_schedule.{key}" for key in ("_target_", "slope", "exponent")},
    }
    assert others == known.get(experiment, set())


@pytest.mark.parametrize("scale", sorted(path.stem for path in (conf_dir() / "scale").glob("*.yaml")))
def test_every_scale_prepares_what_it_trains_on(scale: str) -> None:
    """What a scale sets for training alone must not keep its cohorts from being prepared."""
    prepared, trained = compose("prepare", [f"scale={scale}"]), load("experiment=uda", f"scale={scale}")
    for key in ("cohorts", "spacing_mm", "store"):
        assert prepared.data[key] == trained.data[key]


def test_methods_combine_in_any_order() -> None:
    names = ["strong", "mean_teacher", "entropy", "prior", "fourier", "dann"]
    one, other = (load("experiment=uda", f"adaptation=[{','.join(order)}]") for order in (names, names[::-1]))
    assert one.adaptation == other.adaptation
    assert set(one.adaptation.methods) == set(names)


def test_table_2_settings() -> None:
    rows = {name: load(f"experiment={name}") for name in EXPERIMENTS}
    for name in ("m1_adult_nods", "m2_ped_nods", "m3_mixed_nods", "uda", "uda_released", "uda_alpha0"):
        assert not rows[name].model.deep_supervision
        assert (rows[name].data.batch_size, rows[name].trainer.max_epochs) == (4, 500)
    for name in ("m1_adult", "m2_ped", "m3_mixed", "m4_warmup"):
        assert rows[name].model.deep_supervision
        assert (rows[name].data.batch_size, rows[name].trainer.max_epochs) == (2, 1000)
    assert rows["m1_adult"].run_fold == "all"
    assert [list(rows[name].trained_parts) for name in EXPERIMENTS if name[:2] in ("m5", "m7", "m8")] == [
        ["seg_layers"], ["encoder", "seg_layers"], ["decoder", "seg_layers"],
    ]  # fmt: skip
    for name in ("m6_finetune_all", "m7_finetune_encoder", "m8_finetune_decoder"):
        assert rows[name].init.run == "runs/m5_seg_layers/fold_0"
        assert rows[name].trainer.max_epochs == 300
        assert rows[name].optimizer.lr < 0.01
    ramp = rows["uda"].adaptation
    assert (ramp.alpha_start * 500, ramp.alpha_end * 500, ramp.alpha_max) == (100, 350, 3)
    assert (rows["uda"].lr_schedule.exponent, rows["uda_released"].lr_schedule.exponent) == (0.75, 1.0)
    assert rows["uda_alpha0"].adaptation.alpha_max == 0


def test_released_differs_from_the_paper_in_known_switches_only() -> None:
    assert changes("uda", "uda_released") == {
        "model.norm", "adaptation.classifier.norm", "adaptation.classifier.shared_blocks", "lr_schedule.exponent",
        "loss.bce_weight", "loss.dice_weight",
    }  # fmt: skip


def test_only_the_control_of_2024_has_labelled_children_beside_an_adversary() -> None:
    """It is listed among the supervised, however its scores come out, and no other run opposes labelled cohorts."""
    from pedseg.gap.roles import Role, role_of
    from pedseg.reporting.rows import Model
    from pedseg.runs import trained_on_labels

    configs: dict[str, dict[str, Any]] = {
        name: OmegaConf.to_container(load(f"experiment={name}"), resolve=False)  # type: ignore[misc]
        for name in EXPERIMENTS
    }
    assert [name for name, config in configs.items() if config["data"].get("opposed")] == ["uda_released_2024"]
    roles = {name: role_of({0: Model(name, pd.DataFrame(), config=configs[name])}, {"ped"}) for name in EXPERIMENTS}
    assert trained_on_labels(configs["uda_released_2024"], "ped")
    assert roles["uda_released_2024"] is Role.SUPERVISED
    adapting = {name: role for name, role in roles.items() if name in METHODS}
    assert {name for name, role in adapting.items() if role is Role.CONTROL} == {"uda_alpha0", "uda_alpha0_batchnorm"}
    assert set(adapting.values()) == {Role.CONTROL, Role.METHOD}
    assert not any(trained_on_labels(configs[name], "ped") for name in METHODS)


def test_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise PedsegError("fold 7 is not in splits.json (0-4)")

    assert exit_code(lambda: None) == 0
    assert exit_code(fail) == 2
    assert capsys.readouterr().err == "pedseg: fold 7 is not in splits.json (0-4)\n"


def test_flags_may_stand_between_overrides() -> None:
    assert overrides_last(["seed=1", "-m", "~sweep", "fold=0"]) == ["-m", "seed=1", "~sweep", "fold=0"]
    command = [sys.executable, "-m", "pedseg.train", "scale=toy", "--cfg", "job", "seed=7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "seed: 7" in done.stdout
