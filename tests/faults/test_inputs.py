"""The small inputs that people have reported, whole, on the commands: each is right, or refused with clear words."""

import importlib.util
import json
import logging
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from pedseg.commands import convert, evaluate, predict, prepare
from pedseg.data.store import CohortStore, StoredCase
from tests.builders import write_checkpoint
from tests.faults.inputs import INPUTS, Input

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def maker(shared: Path) -> ModuleType:
    path = shared / "cases" / "cases_data.py"
    if not path.exists():
        pytest.skip("no generator of the reported inputs in the reference material")
    spec = importlib.util.spec_from_file_location("cases_data", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All inputs, a folder each; and a network."""
    root = tmp_path_factory.mktemp("reported inputs")
    for name, make in maker.ALL.items():
        (root / name).mkdir()
        make(root / name)
    write_checkpoint(root / "network" / "last.ckpt", spacing_mm=(8.0, 8.0, 8.0))
    return root


def test_each_is_tried(maker: ModuleType) -> None:
    assert {one.name for one in INPUTS} == set(maker.ALL)


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: one.title)
def test_right_or_refused(
    one: Input, made: Path, maker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().handlers.clear()  # those of the command before write to its streams
    code = TRIALS[one.verb](one, made / one.name, tmp_path, made)
    said = capsys.readouterr()
    words = " ".join(f"{said.out} {said.err}".split())
    assert "Traceback" not in words
    if one.refused:
        assert code in ((1, 2) if one.verb == "predict" else (2,))
        assert all(text in words for text in one.said), words
        assert "→" in words or ";" in words or "." in words
        assert list(tmp_path.rglob("*.b2nd")) == []
        return
    assert code == 0, words
    assert all(text in words for text in one.said), words
    _check_output(one, tmp_path, maker)


def _prepare(one: Input, folder: Path, at: Path, made: Path) -> int:
    del made
    own = [f"cohort=[{one.cohort}]", f"paths.{one.cohort}={folder / one.folder}", f"paths.store={at / 'store'}"]
    return prepare.main([*own, "workers=1", *one.more])


def _prepare_both(one: Input, folder: Path, at: Path, made: Path) -> int:
    del made
    adult, ped = folder / one.more[0], folder / one.folder
    same = "data.cohorts.adult.convention=brats2023"
    return prepare.main([f"paths.adult={adult}", f"paths.ped={ped}", f"paths.store={at / 'store'}", "workers=1", same])


def _evaluate(one: Input, folder: Path, at: Path, made: Path) -> int:
    del made
    labels, *more = one.more
    given = ["--predictions", str(folder / one.folder), "--labels", str(folder / labels), "--workers", "1"]
    return evaluate.main([*given, "--output", str(at / "scores.csv"), *more])


def _predict(one: Input, folder: Path, at: Path, made: Path) -> int:
    network = ["--checkpoint", str(made / "network" / "last.ckpt"), "--no-mirror", "--device", "cpu"]
    return predict.main([*network, "--input", str(folder / one.folder), "--output", str(at / "maps"), *one.more])


def _splits(one: Input, folder: Path, at: Path, made: Path) -> int:
    del made
    cohorts = [str(folder / name) for name in (one.folder, *one.more)]
    return convert.main(["splits", *cohorts, "--output", str(at / "splits.json")])


TRIALS = {
    "prepare": _prepare,
    "prepare both": _prepare_both,
    "evaluate": _evaluate,
    "predict": _predict,
    "splits": _splits,
}


def _check_output(one: Input, at: Path, maker: ModuleType) -> None:
    if "--check" in one.more:
        return
    if one.verb == "prepare":
        store = CohortStore(at / "store" / one.cohort)
        assert one.cases in (None, len(store.case_ids))
        for case, seed in one.like.items():
            _check_same(store.open(case), seed, at / "plain", maker, turned=one.folder in {"RAS", "PIR"})
    elif one.verb == "predict":
        assert one.cases == len(list((at / "maps").glob("[!.]*.nii.gz")))
    elif one.verb == "evaluate":
        scores = pd.read_csv(at / "scores.csv").groupby("region")["dice"].mean()
        assert {region: scores[region] for region in one.dice} == pytest.approx(dict(one.dice), abs=5e-5)
    else:
        _check_patients(json.loads((at / "splits.json").read_text()))


def _check_same(case: StoredCase, seed: int, plain: Path, maker: ModuleType, *, turned: bool) -> None:
    """Whether a prepared case has the voxels of the plain one; in another order where it is stored in other axes."""
    name = f"BraTS-PED-{seed:05d}-999"
    maker.case(plain / "raw", name, seed)
    assert prepare.main(["cohort=[ped]", f"paths.ped={plain / 'raw'}", f"paths.store={plain}", "workers=1"]) == 0
    wanted = CohortStore(plain / "ped").open(name)
    ours, theirs = (
        np.concatenate([one.read_image((0, 0, 0), one.shape)[0], one.read_label((0, 0, 0), one.shape)])
        for one in (case, wanted)
    )
    if turned:
        ours, theirs = (np.sort(one.reshape(len(one), -1), axis=1) for one in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def _check_patients(folds: list[dict[str, list[str]]]) -> None:
    for fold in folds:
        sides = [
            {case.rpartition("_")[0].removesuffix("_Timepoint") for case in fold[part]} for part in ("train", "val")
        ]
        assert not sides[0] & sides[1]
        assert len(fold["train"]) + len(fold["val"]) == 60


def _patient(case: str) -> str:
    return case.rpartition("_")[0].removesuffix("_Timepoint")
