"""The choice of largest components, by hand and against nnU-Net's own."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluation.pairing import Pair
from pedseg.evaluation.postprocessing.folders import postprocess_folder
from pedseg.evaluation.postprocessing.keep_largest import SEQUENCES, Adopted, HeldOut, choose, decide, read_choice
from pedseg.files import write_json
from pedseg.labels import Region, get_convention
from tests.exactness import Exact

CONVENTION = get_convention("msd_task01")  # 1 ED, 2 NC, 3 ET, as nnU-Net numbers them
WT, TC, ET = Region
SHAPE = (18, 20, 16)
CASES = 5


def scores(**gains: float) -> dict[Adopted, NDArray[np.float64]]:
    """Dice of 0.5 everywhere, with a gain for each sequence that is named by its regions (``wt_et=0.1``)."""
    table: dict[Adopted, NDArray[np.float64]] = {}
    for sequence in SEQUENCES:
        table[sequence] = np.full((2, 3), 0.5) + gains.get("_".join(sequence), 0.0)
    return table


def chosen(table: Mapping[Adopted, NDArray[np.float64]]) -> list[Region]:
    return [rule.region for rule in decide(table)[0]]


def test_nothing_is_adopted_without_a_strict_gain() -> None:
    assert chosen(scores()) == []
    rules, steps = decide(scores(wt=-0.1, tc=-0.1, et=-0.1))
    assert rules == ()
    assert [(step.tried, step.adopted) for step in steps] == [("foreground", False), *((r, False) for r in Region)]
    assert steps[0].before == pytest.approx({"wt": 0.5, "tc": 0.5, "et": 0.5})
    assert steps[0].after == pytest.approx({"wt": 0.4, "tc": 0.4, "et": 0.4})


def with_foreground(values: list[list[float]]) -> dict[Adopted, NDArray[np.float64]]:
    """No other rule changes anything; keeping the largest of the foreground gives these Dice (cases, 3)."""
    return {sequence: np.array(values) if WT in sequence else before for sequence, before in scores().items()}


def test_the_foreground_must_hurt_no_region() -> None:
    assert chosen(with_foreground([[0.9, 0.5, 0.5]] * 2)) == [WT]
    assert chosen(with_foreground([[0.5, 0.9, 0.49]] * 2)) == []  # the mean rises, but one region falls
    table = with_foreground([[0.6, 0.9, 0.49]] * 2)  # the same, but WT itself gains: enough in the second step
    assert chosen(table) == [WT]
    assert [step.tried for step in decide(table)[1] if step.adopted] == ["wt"]


def test_regions_are_tried_on_top_of_one_another() -> None:
    """TC gains; ET gains by itself, but nothing more once TC is adopted."""
    table = scores(tc=0.1, et=0.1, tc_et=0.1)
    assert chosen(table) == [TC]
    assert chosen(scores(tc=0.1, et=0.1, tc_et=0.2)) == [TC, ET]


def test_a_region_that_falls_does_not_keep_another_from_being_adopted() -> None:
    table = scores()
    table[ET,] = np.array([[0.1, 0.1, 0.6]] * 2)
    assert chosen(table) == [ET]


def test_unknown_scores() -> None:
    """Cases without a region do not count; a region without cases keeps the foreground from being adopted."""
    table = with_foreground([[0.5, 0.5, 0.2], [0.6, 0.5, np.nan]])
    assert chosen(table) == [WT]  # in the second step only: ET falls from 0.5 to 0.2
    assert [step.adopted for step in decide(table)[1]] == [False, True, False, False]
    nowhere = {sequence: values * [1, 1, np.nan] for sequence, values in with_foreground([[0.6, 0.6, 0.6]]).items()}
    assert chosen(nowhere) == [WT]
    assert [step.adopted for step in decide(nowhere)[1]] == [False, True, False, False]


def ball(centre: tuple[int, ...], radius: float) -> NDArray[np.bool_]:
    grid = np.indices(SHAPE)
    squares = [(g - c) ** 2 for g, c in zip(grid, centre, strict=True)]
    inside: NDArray[np.bool_] = np.sqrt(np.sum(squares, axis=0)) <= radius
    return inside


def write(folder: Path, name: str, label: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(label.T, np.diag([1.0, 1.5, 2.0, 1.0])), folder / f"{name}.nii.gz")


def tumour(rng: np.random.Generator, pieces: Mapping[str, float]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A prediction and its label; `pieces` are the chances of stray pieces of each kind, right ones and wrong ones."""
    label = np.zeros(SHAPE, dtype=np.uint8)
    has_et = pieces.get("has_et", 0.8)
    centre = tuple(int(c) for c in rng.integers(6, 9, 3))
    for value, radius in ((1, 5.5), (2, 4.0), (3, 2.5)):
        if value < 3 or rng.random() < has_et:
            label[ball(centre, radius)] = value
    prediction = label.copy()
    prediction[ball(centre, 1.0)] = rng.integers(1, 4 if has_et else 3)
    for value in (1, 2, 3):
        for kind, image in (("false", prediction), ("true", label)):
            if rng.random() < pieces.get(f"{kind}_{value}", 0.0):
                corner = tuple(int(c) for c in rng.integers([14, 14, 12], SHAPE))
                image[ball(corner, 1.5)] = value
                if kind == "true":
                    prediction[ball(corner, 1.5)] = value
        if rng.random() < pieces.get(f"speck_{value}", 0.0):
            inside = np.argwhere(label == 1)
            prediction[tuple(inside[rng.integers(len(inside))])] = value
    return prediction, label


WORLDS: Mapping[str, Mapping[str, float]] = {
    "nothing to remove": {},
    "false pieces": {"false_1": 0.8, "false_2": 0.8, "false_3": 0.8},
    "true pieces": {"true_1": 0.8, "true_2": 0.8, "true_3": 0.8},
    "true oedema, false enhancing": {"true_1": 0.9, "speck_3": 1.0},
    "specks of core": {"speck_2": 1.0, "true_1": 1.0},
    "some of all": {f"{kind}_{v}": 0.4 for kind in ("false", "true", "speck") for v in (1, 2, 3)},
    "no enhancing label": {"has_et": 0.0, "false_3": 0.6, "false_1": 0.5},
    "no enhancing at all": {"has_et": 0.0, "false_1": 1.0},
}

PEER_PROGRAM = """
import json, multiprocessing, sys, types
from multiprocessing.pool import ThreadPool
from pathlib import Path
multiprocessing.get_context = lambda *_: types.SimpleNamespace(Pool=ThreadPool)  # starting a process takes seconds
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing_to_folder, determine_postprocessing

regions = {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": 3}
dataset = {"labels": regions, "regions_class_order": [1, 2, 3], "file_ending": ".nii.gz",
           "channel_names": {str(i): "x" for i in range(4)}}
plans = {"image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager", "configurations": {}}
NAMES = {(1, 2, 3): "wt", (2, 3): "tc", 3: "et", (3,): "et"}
decisions = {}
for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
    functions, settings = determine_postprocessing(
        str(folder / "predictions"), str(folder / "labels"), plans, dataset, 1, keep_postprocessed_files=False)
    tried = [s["labels_or_regions"] for s in settings]
    decisions[folder.name] = ["foreground" if isinstance(t, list) else NAMES[t] for t in tried]
    apply_postprocessing_to_folder(
        str(folder / "unseen"), str(folder / "theirs"), functions, settings, plans, dataset, 1)
(Path(sys.argv[1]) / "decisions.json").write_text(json.dumps(decisions))
"""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions and labels of several kinds; and predictions that the choice is applied to."""
    root = tmp_path_factory.mktemp("cross-validations")
    for seed, (name, pieces) in enumerate(WORLDS.items()):
        rng = np.random.default_rng(seed)
        for index in range(CASES):
            prediction, label = tumour(rng, pieces)
            write(root / name / "predictions", f"case_{index}", prediction)
            write(root / name / "labels", f"case_{index}", label)
            speckled = np.where(rng.random(SHAPE) < 0.12, rng.integers(1, 4, SHAPE), 0).astype(np.uint8)
            write(root / name / "unseen", f"case_{index}", speckled)
    return root


def held_out(folder: Path, *, cohort: str = "adult") -> HeldOut:
    names = sorted(path.name for path in (folder / "predictions").glob("*.nii.gz"))
    pairs = [Pair(name[:-7], folder / "predictions" / name, folder / "labels" / name) for name in names]
    return HeldOut(cohort, pairs, CONVENTION)


DECISION = (
    "Which of foreground, WT, TC, ET keep only their largest component: decisions that differ in 8 cross-validations"
)
APPLIED = "Label maps after the chosen rules: voxels that differ, 8 × 5 random ones"


@pytest.mark.exact(DECISION, section="Post-processing", peer="nnunetv2", tolerance=0)
@pytest.mark.exact(APPLIED, section="Post-processing", peer="nnunetv2", tolerance=0)
def test_choice_and_result_equal_nnunet_s(worlds: Path, peers_python: Path, tmp_path: Path, exact: Exact) -> None:
    subprocess.run([peers_python, "-c", PEER_PROGRAM, worlds], check=True, capture_output=True)
    theirs = json.loads((worlds / "decisions.json").read_text())
    seen, different, voxels = set(), 0, 0
    for name in WORLDS:
        choice = choose([held_out(worlds / name)], target=["ped"], workers=1)
        ours = [str(step.tried) for step in choice.steps if step.adopted]
        different += ours != theirs[name]
        seen.add(tuple(ours))
        postprocess_folder(worlds / name / "unseen", tmp_path / name, choice.rules, convention=CONVENTION, workers=1)
        for path in (tmp_path / name).glob("*.nii.gz"):
            mine, peer = (np.asarray(nib.load(p).dataobj) for p in (path, worlds / name / "theirs" / path.name))
            voxels += int(np.count_nonzero(mine != peer))
    assert len(seen) >= 4, seen  # the worlds ask for different choices
    exact(different, DECISION)
    exact(voxels, APPLIED)


def test_labels_of_a_target_are_not_read(worlds: Path, tmp_path: Path) -> None:
    nowhere = HeldOut("ped", [Pair("a", tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")], CONVENTION)
    with pytest.raises(PedsegError, match="'ped' is a target of the adaptation"):
        choose([held_out(worlds / "false pieces"), nowhere], target=["ped"], workers=1)
    with pytest.raises(PedsegError, match="no held-out source case"):
        choose([HeldOut("adult", [], CONVENTION)], target=["ped"], workers=1)
    with pytest.raises(ProblemsError, match="1 of 1"):
        choose([HeldOut("adult", nowhere.pairs, CONVENTION)], target=["ped"], workers=1)


def test_the_record_can_be_read_again(worlds: Path, tmp_path: Path) -> None:
    choice = choose([held_out(worlds / "no enhancing at all")], target=[], workers=1)
    write_json(tmp_path / "choice.json", choice.record())
    assert read_choice(tmp_path / "choice.json") == choice.rules
    assert "NaN" not in (tmp_path / "choice.json").read_text()
    assert choice.record()["cases"] == {"adult": CASES}
    assert choice.record()["steps"][0]["before"]["et"] is None


def test_ignored_voxels_have_no_part_in_the_choice(tmp_path: Path) -> None:
    """A second component that is tumour in the label as well would keep the rule out; ignored it has no say."""
    convention = get_convention({"et": 3, "nc": 2, "ed": 1, "ignore": 4})
    prediction = np.zeros(SHAPE, dtype=np.uint8)
    prediction[2:8, 2:8, 2:8] = 3
    prediction[12:15, 12:15, 12:15] = 3
    prediction[12:14, 2:4, 2:4] = 3  # a false component, which makes the rule worth while
    found = {}
    for name, value in (("tumour", 3), ("ignored", 4)):
        label = prediction.copy()
        label[12:14, 2:4, 2:4] = 0
        label[12:15, 12:15, 12:15] = value
        pair = Pair("a", tmp_path / name / "p.nii.gz", tmp_path / name / "l.nii.gz")
        (tmp_path / name).mkdir()
        for path, data in ((pair.prediction, prediction), (pair.label, label)):
            nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        found[name] = choose([HeldOut("adult", [pair], convention)], target=[], workers=1)
    assert found["tumour"].rules == ()
    assert [rule.region for rule in found["ignored"].rules] == [WT]
    assert found["ignored"].steps[0].after == {"wt": 1.0, "tc": 1.0, "et": 1.0}
