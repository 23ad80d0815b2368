"""Names of runs, every experiment file, and how mistakes on the command line end."""

import subprocess
import sys
from pathlib import Path

import pytest

from pedseg.commands import train
from pedseg.commands.hydra_entry import overrides_last
from pedseg.errors import PedsegError
from pedseg.exits import exit_code
from pedseg.settings.names import deciding, run_name
from tests.composed import composed, files, settings


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["experiment=uda", "fold=0"], "uda"),
        (["experiment=uda", "fold=3", "paths.adult=/a b", "logger=wandb", "trainer.devices=4", "scale=demo"], "uda"),
        (["experiment=uda", "adaptation.dann.alpha_max=1"], "uda/adaptation.dann.alpha_max=1"),
        (["seed=2", "adaptation.dann.lambda_domain=0.1"], "uda/adaptation.dann.lambda_domain=0.1,seed=2"),
        (["trainer.max_epochs=5"], "uda/trainer.max_epochs=5"),
        (["folds=/data/splits.json"], "uda/folds=_data_splits.json"),
        (["folds.by=published"], "uda/folds=published"),
        (["~data.source.ped"], "uda/data.source.ped"),
        (["folds.patients=who.csv"], "uda/folds.patients=who.csv"),
        (["+data.source.ped=all"], "uda/data.source.ped=all"),
    ],
)
def test_run_name(overrides: list[str], expected: str) -> None:
    assert run_name("uda", overrides) == expected


def test_long_run_names_stay_short_and_apart() -> None:
    names = {run_name("uda", [f"data.source.x{i}=fold" for i in range(60)] + [f"seed={s}"]) for s in (1, 2)}
    assert len(names) == 2
    assert max(len(Path(name).name) for name in names) < 200


def changes(first: str, second: str) -> set[str]:
    """Settings in which two experiments differ."""
    one, other = (deciding(settings(f"experiment={name}")) for name in (first, second))
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.mark.parametrize("scale", files("scale"))
def test_every_scale_prepares_what_it_trains_on(scale: str) -> None:
    """What a scale sets for training alone must not keep its cohorts from being prepared."""
    prepared, trained = composed(f"scale={scale}", name="prepare"), composed("experiment=uda", f"scale={scale}")
    for key in ("cohorts", "spacing_mm", "store"):
        assert prepared.data[key] == trained.data[key]


def test_methods_combine_in_any_order() -> None:
    names = ["strong", "mean_teacher", "entropy", "prior", "fourier", "dann"]
    one, other = (composed("experiment=uda", f"adaptation=[{','.join(order)}]") for order in (names, names[::-1]))
    assert one.adaptation == other.adaptation
    assert set(one.adaptation) == set(names)


def test_table_2_settings() -> None:
    rows = {name: composed(f"experiment={name}") for name in files("experiment")}
    for name in ("m1_adult_nods", "m2_ped_nods", "m3_mixed_nods", "uda", "uda_released", "uda_alpha0"):
        assert not rows[name].model.deep_supervision
        assert (rows[name].data.batch_size, rows[name].trainer.max_epochs) == (4, 500)
    for name in ("m1_adult", "m2_ped", "m3_mixed", "m4_warmup"):
        assert rows[name].model.deep_supervision
        assert (rows[name].data.batch_size, rows[name].trainer.max_epochs) == (2, 1000)
    assert rows["m1_adult"].run_fold == "all"
    assert [list(rows[name].trained_parts) for name in files("experiment") if name[:2] in ("m5", "m7", "m8")] == [
        ["seg_layers"], ["encoder", "seg_layers"], ["decoder", "seg_layers"],
    ]  # fmt: skip
    for name in ("m6_finetune_all", "m7_finetune_encoder", "m8_finetune_decoder"):
        assert rows[name].init.run == "runs/m5_seg_layers/fold_0"
        assert rows[name].trainer.max_epochs == 300
        assert rows[name].optimizer.lr < 0.01
    ramp = rows["uda"].adaptation.dann
    assert (ramp.alpha_start * 500, ramp.alpha_end * 500, ramp.alpha_max) == (100, 350, 3)
    assert (rows["uda"].lr_schedule.exponent, rows["uda_released"].lr_schedule.exponent) == (0.75, 1.0)
    assert rows["uda_alpha0"].adaptation.dann.alpha_max == 0


def test_released_differs_from_the_paper_in_known_switches_only() -> None:
    assert changes("uda", "uda_released") == {
        "model.norm", "adaptation.dann.classifier.norm", "adaptation.dann.classifier.shared_blocks",
        "lr_schedule.exponent", "loss.bce_weight", "loss.dice_weight",
    }  # fmt: skip


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


def test_a_folder_of_files_beside_conf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my conf" / "experiment").mkdir(parents=True)
    (tmp_path / "my conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nfold: -7\n")
    searched = "hydra.searchpath=[pkg://mine.conf]"
    for folder, overrides, message in (
        ("my conf", ["experiment=mine"], "fold=-7: "),  # it is read
        ("my conf", ["experiment=mien"], "experiment=mien is unknown; did you mean mine?"),
        ("my cnf", ["experiment=mine"], "my cnf: there is no such folder"),
        ("my conf", [searched], "give it in hydra.searchpath=[...], which is set, too"),
    ):
        assert train.main(["--config-dir", str(tmp_path / folder), *overrides]) == 2
        assert message in capsys.readouterr().err
