"""What a few labels of the target give: fine-tuned and as thresholds, on the toy cohorts."""

from pathlib import Path

import pytest

from pedseg.assembly import select
from pedseg.calibration.record import read_thresholds
from pedseg.choosing.plan import find_runs
from pedseg.files import read_json
from pedseg.runs import RunFolder
from tests.composed import settings
from tests.training import train

ADULTS = ("experiment=m1_adult_fold", "run_name=m1_adult_fold", "data.evaluation=adult")
FEW = ("experiment=few_labels", "data.few.target=2", "data.draw=1", "run_name=few", "fold=0")


def few(number: int, draw: int) -> str:
    return f"+variant.few={{few:{{target:{number}}},draw:{draw}}}"


@pytest.fixture(scope="module")
def runs(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1* with thresholds by two labels, and fine-tuned on two labelled children."""
    folder = tmp_path_factory.mktemp("few labels")
    assert train(toy_world, folder, *ADULTS, few(2, 1)) == 0
    assert train(toy_world, folder, *FEW) == 0
    return folder


def test_a_draw_holds_every_smaller_one_and_differs_from_others(toy_world: Path) -> None:
    def chosen(number: int, draw: int) -> set[str]:
        run = settings(
            "scale=toy", *FEW[:1], f"data.few.target={number}", f"data.draw={draw}", f"paths.store={toy_world}/store"
        )
        part = select(run)
        assert set(part.source_train["ped"]) <= set(everyone) - set(part.evaluation["ped"])
        return set(part.source_train["ped"])

    whole = settings("scale=toy", "experiment=m2_ped_nods", f"paths.store={toy_world}/store")
    everyone = {*select(whole).source_train["ped"], *select(whole).evaluation["ped"]}
    for draw in range(3):
        assert chosen(1, draw) < chosen(2, draw) < chosen(4, draw)
        assert len(chosen(1, draw)) == 1
    assert len({min(chosen(1, draw)) for draw in range(8)}) > 1


def test_both_ways_read_the_same_children(runs: Path, toy_world: Path) -> None:
    place = RunFolder(runs / "m1_adult_fold" / "fold_0").variant("few")
    record = read_json(place.thresholds)
    tuned = settings("scale=toy", *FEW, f"paths.store={toy_world}/store")
    assert record["labels"]["cases"] == list(select(tuned).source_train["ped"])
    assert read_thresholds(place.thresholds) == list(record["thresholds"].values())
    assert place.scores.exists()


def test_validators_leave_thresholds_by_labels_out(runs: Path) -> None:
    found, _ = find_runs([runs / "m1_adult_fold"])
    assert [place.name for place in found] == ["plain"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*FEW[:1], "fold=0", "data.few.target=50"), "few.ped=50: the fold has"),
        (("experiment=m1_adult", "+data.few.target=1"), "data.few: 'ped' is no labelled cohort"),
        (("experiment=uda", "fold=0", few(1, 0)), r"variant.few.few: reads labels"),
        (("experiment=m1_adult_fold", few(1, 0)), r"variant.few.few: labels of ped choose thresholds, and every case"),
        (("experiment=m2_ped", "fold=0", few(9, 0)), "few.ped=9: the fold has"),
    ],
)
def test_mistakes_are_said_before_a_step(
    toy_world: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    start = [f"init.run={runs}/m1_adult_fold/fold_0"] if "few_labels" in words[0] else []
    assert train(toy_world, tmp_path, *words, *start) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("last.ckpt"))
