"""Whole cases: geometry, ensembles, bad cases, and outputs that are there already."""

import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.imaging import PreparedImage, prepare_image, read_images, write_label_map
from pedseg.inference import Predictor, Settings, load_network, predict_cases
from pedseg.inference import cases as folder_of_cases
from pedseg.labels import get_convention, labels_from_regions
from tests.builders import write_case, write_checkpoint

CPU = torch.device("cpu")
BRATS = get_convention("brats2023")


def test_label_map_lies_on_the_input_grid(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "in put", "BraTS-PED-90001-000")
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU)
    cases = find_cases(tmp_path / "in put", cohort="ped", labelled=False).cases
    assert predict_cases(predictor, cases, tmp_path / "out put", convention=BRATS) == []
    written = nib.load(tmp_path / "out put" / "BraTS-PED-90001-000.nii.gz")
    image = nib.load(folder / "BraTS-PED-90001-000-t1n.nii.gz")
    assert np.array_equal(written.affine, image.affine)
    assert written.shape == image.shape
    label = np.asarray(written.dataobj)
    assert set(np.unique(label)) <= {0, 1, 2, 3}
    assert label.any()  # a random network says something
    assert not label[np.asarray(image.dataobj) == 0].any()  # but nothing outside the crop


def test_an_ensemble_is_the_mean_of_logits(tmp_path: Path) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    paths = [write_checkpoint(tmp_path / f"{seed}.ckpt", seed=seed) for seed in (1, 2)]
    case = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases[0]
    settings = Settings(mirror=False)
    image = torch.from_numpy(prepare_image(read_images(case.images), spacing_mm=None).normalised())
    each = [Predictor([path], device=CPU, settings=settings).logits(image) for path in paths]
    both = Predictor(paths, device=CPU, settings=settings)
    assert torch.allclose(both.logits(image), (each[0] + each[1]) / 2, atol=1e-6)
    assert not torch.allclose(each[0], each[1], atol=1e-2)


def test_one_window_is_the_network_itself(tmp_path: Path) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000", shape=(18, 19, 19))  # cropped: 16 x 16 x 17 in z, y, x order
    path = write_checkpoint(tmp_path / "last.ckpt", patch_size=(32, 32, 32))
    case = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases[0]
    image = torch.from_numpy(prepare_image(read_images(case.images), spacing_mm=None).normalised())
    missing = [32 - n for n in image.shape[1:]]
    widths = [w for m in reversed(missing) for w in (m // 2, m - m // 2)]
    with torch.inference_mode():
        expected = load_network(path).network(torch.nn.functional.pad(image, widths)[None])[0]
    box = (slice(None), *(slice(m // 2, m // 2 + n) for m, n in zip(missing, image.shape[1:], strict=True)))
    found = Predictor([path], device=CPU, settings=Settings(mirror=False)).logits(image)
    assert torch.allclose(found, expected[box], atol=1e-4)


def test_a_bad_case_is_reported_and_the_rest_go_on(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_case(tmp_path / "in", f"BraTS-PED-9000{number}-000", seed=number)
    bad = tmp_path / "in" / "BraTS-PED-90002-000" / "BraTS-PED-90002-000-t2w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:300])
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=Settings(mirror=False))
    cases = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases
    problems = predict_cases(predictor, cases, tmp_path / "out", convention=BRATS)
    assert [p.case for p in problems] == ["BraTS-PED-90002-000"]
    assert "truncated" in problems[0].what
    written = sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz"))
    assert written == ["BraTS-PED-90001-000.nii.gz", "BraTS-PED-90003-000.nii.gz"]


def test_label_maps_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    path = write_checkpoint(tmp_path / "last.ckpt")
    cases = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases
    out = tmp_path / "out"
    first = Predictor([path], device=CPU, settings=Settings(mirror=False))
    predict_cases(first, cases, out, convention=BRATS)
    before = (out / "BraTS-PED-90001-000.nii.gz").stat().st_mtime_ns
    predict_cases(first, cases, out, convention=BRATS)
    assert (out / "BraTS-PED-90001-000.nii.gz").stat().st_mtime_ns == before  # nothing done twice
    other = Predictor([path], device=CPU, settings=Settings(mirror=False, step=1.0))
    with pytest.raises(PedsegError, match="other checkpoints or settings"):
        predict_cases(other, cases, out, convention=BRATS)
    assert (out / "BraTS-PED-90001-000.nii.gz").stat().st_mtime_ns == before
    assert predict_cases(other, cases, out, convention=BRATS, overwrite=True) == []


def test_checkpoints_that_do_not_belong_together(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path / "a.ckpt"), write_checkpoint(tmp_path / "b.ckpt", patch_size=(32, 32, 32))]
    with pytest.raises(PedsegError, match="an ensemble needs the same"):
        Predictor(paths, device=CPU)


def test_overwriting_removes_only_what_is_predicted_again(tmp_path: Path) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    cases = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=Settings(mirror=False))
    out = tmp_path / "out"
    out.mkdir()
    foreign, old = out / "mine.nii.gz", out / "BraTS-PED-90001-000.nii.gz"
    for path in (foreign, old):
        path.write_bytes(b"kept")
    for overwrite in (False, True):  # nobody knows what made mine.nii.gz, so the folder cannot be claimed
        with pytest.raises(PedsegError, match="give another output folder"):
            predict_cases(predictor, cases, out, convention=BRATS, overwrite=overwrite)
        assert (foreign.read_bytes(), old.read_bytes()) == (b"kept", b"kept")
    foreign.unlink()
    assert predict_cases(predictor, cases, out, convention=BRATS, overwrite=True) == []
    assert old.read_bytes() != b"kept"


def test_an_image_is_never_replaced(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "in", "BraTS-PED-90001-000")
    found = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases[0]
    case = replace(found, id="BraTS-PED-90001-000-t1n")  # as a 4-D file is named after its case
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=Settings(mirror=False))
    before = case.images[0].path.read_bytes()
    with pytest.raises(PedsegError, match="would be replaced"):
        predict_cases(predictor, [case], folder, convention=BRATS, overwrite=True)
    assert case.images[0].path.read_bytes() == before


def test_a_full_disk_and_a_full_device_fail_the_case_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        write_case(tmp_path / "in", f"BraTS-PED-9000{number}-000")
    cases = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=Settings(mirror=False))
    infer, errors = predictor.infer, [OSError("No space left on device"), torch.OutOfMemoryError("out of memory")]

    def failing(prepared: PreparedImage) -> NDArray[np.float32]:
        if errors:
            raise errors.pop(0)
        return infer(prepared)

    monkeypatch.setattr(predictor, "infer", failing)
    problems = predict_cases(predictor, cases, tmp_path / "out", convention=BRATS)
    assert [problem.case[-5] for problem in problems] == ["1", "2"]
    assert "make room" in problems[0].fix
    assert "--device cpu" in problems[1].fix
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["BraTS-PED-90003-000.nii.gz"]


def three_cases(tmp_path: Path) -> tuple[Predictor, list[Case]]:
    for number in (1, 2, 3):
        write_case(tmp_path / "in", f"BraTS-PED-9000{number}-000")
    cases = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases
    settings = Settings(mirror=False)
    return Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=settings), list(cases)


def pool_threads() -> set[threading.Thread]:
    """Threads of executors that live; a progress bar's own thread may outlive its bar by a moment."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")}


def test_a_label_map_is_written_while_the_next_case_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, cases = three_cases(tmp_path)
    infer, started, written = predictor.infer, [threading.Event() for _ in cases], list[str]()

    def counted(prepared: PreparedImage) -> NDArray[np.float32]:
        number = sum(event.is_set() for event in started)
        assert len(written) >= number - 1  # no more than one label map waits
        started[number].set()
        return infer(prepared)

    def writing(path: Path, *arguments: Any, **keywords: Any) -> None:
        following = started[len(written) + 1 :][:1]
        assert all(event.wait(60) for event in following)  # else nothing overlaps
        write_label_map(path, *arguments, **keywords)
        written.append(path.name)

    monkeypatch.setattr(predictor, "infer", counted)
    monkeypatch.setattr(folder_of_cases, "write_label_map", writing)
    before = pool_threads()
    assert predict_cases(predictor, cases, tmp_path / "out", convention=BRATS) == []
    assert pool_threads() <= before
    assert written == [f"{case.id}.nii.gz" for case in cases]


def test_problems_come_in_the_order_of_the_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first cannot be written, the second not predicted, the third not read."""
    predictor, cases = three_cases(tmp_path)
    infer, seen = predictor.infer, list[int]()

    def failing(prepared: PreparedImage) -> NDArray[np.float32]:
        seen.append(1)
        if len(seen) == 2:
            raise PedsegError("second")
        return infer(prepared)

    def full(*_: Any, **__: Any) -> None:
        time.sleep(0.3)
        raise OSError("No space left on device")

    bad = cases[2].images[0].path
    bad.write_bytes(bad.read_bytes()[:300])
    monkeypatch.setattr(predictor, "infer", failing)
    monkeypatch.setattr(folder_of_cases, "write_label_map", full)
    problems = predict_cases(predictor, cases, tmp_path / "out", convention=BRATS)
    assert [problem.case for problem in problems] == [case.id for case in cases]
    assert "No space" in problems[0].what
    assert problems[1].what == "second"
    assert "truncated" in problems[2].what


def test_an_interrupted_run_finishes_the_label_map_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, cases = three_cases(tmp_path)
    infer, seen = predictor.infer, list[int]()

    def interrupted(prepared: PreparedImage) -> NDArray[np.float32]:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return infer(prepared)

    def slow(*arguments: Any, **keywords: Any) -> None:
        time.sleep(0.3)
        write_label_map(*arguments, **keywords)

    monkeypatch.setattr(predictor, "infer", interrupted)
    monkeypatch.setattr(folder_of_cases, "write_label_map", slow)
    before = pool_threads()
    with pytest.raises(KeyboardInterrupt):
        predict_cases(predictor, cases, tmp_path / "out", convention=BRATS)
    assert pool_threads() <= before
    made = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert made == [f"{cases[0].id}.nii.gz", "predictions.json"]
    assert nib.load(tmp_path / "out" / f"{cases[0].id}.nii.gz").shape == (20, 18, 19)


def test_a_mistake_while_writing_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, cases = three_cases(tmp_path)

    def mistaken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(folder_of_cases, "write_label_map", mistaken)
    with pytest.raises(ZeroDivisionError):
        predict_cases(predictor, cases, tmp_path / "out", convention=BRATS)
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_two_cases_at_most_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        write_case(tmp_path / "in", f"BraTS-PED-9000{number}-000")
    cases = find_cases(tmp_path / "in", cohort="ped", labelled=False).cases
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=Settings(mirror=False))
    prepare, alive, most = predictor.prepare, list[weakref.ref[Any]](), [0]

    def counted(case: Case) -> PreparedImage:
        prepared = prepare(case)
        alive.append(weakref.ref(prepared.raw))
        most[0] = max(most[0], sum(reference() is not None for reference in alive))
        return prepared

    monkeypatch.setattr(predictor, "prepare", counted)
    assert predict_cases(predictor, cases, tmp_path / "out", convention=BRATS) == []
    assert most[0] <= 2


def test_oblique_grid_and_2021_names(tmp_path: Path) -> None:
    affine = np.array([[0.9, -0.3, 0.1, -80], [0.3, 0.9, -0.2, 12], [-0.03, 0.2, 0.97, 7], [0, 0, 0, 1]])
    shape, folder = (21, 17, 19), tmp_path / "in" / "BraTS2021_00001"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("t1", "t1ce", "t2", "flair"):
        image = nib.Nifti1Image(rng.integers(1, 900, shape).astype(np.int16), affine)
        image.set_qform(affine, code=2)
        nib.save(image, folder / f"BraTS2021_00001_{name}.nii.gz")
    cases = find_cases(tmp_path / "in", cohort="adult", labelled=False).cases
    predictor = Predictor([write_checkpoint(tmp_path / "last.ckpt")], device=CPU, settings=Settings(mirror=False))
    assert predict_cases(predictor, cases, tmp_path / "out", convention=get_convention("brats2021")) == []
    written = nib.load(tmp_path / "out" / "BraTS2021_00001.nii.gz")
    image = nib.load(folder / "BraTS2021_00001_t1.nii.gz")
    assert written.shape == shape
    assert np.array_equal(written.affine, image.affine)
    assert (written.header["qform_code"], written.header["sform_code"]) == (2, image.header["sform_code"])
    label = np.asarray(written.dataobj)
    assert set(np.unique(label)) <= {0, 1, 2, 4}
    assert np.array_equal(label.T, labels_from_regions(predictor.predict(cases[0]), get_convention("brats2021")))


@pytest.mark.slow
def test_real_cases_keep_their_grid(shared: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", patch_size=(64, 64, 64))
    predictor = Predictor([checkpoint], device=CPU, settings=Settings(mirror=False))
    cases = find_cases(shared / "real", cohort="adult", labelled=False).cases
    assert len(cases) == 2
    assert predict_cases(predictor, cases, tmp_path / "out", convention=BRATS) == []
    for case in cases:
        written, image = nib.load(tmp_path / "out" / f"{case.id}.nii.gz"), nib.load(case.images[0].path)
        assert written.shape == image.shape
        assert np.array_equal(written.affine, image.affine)
        assert np.array_equal(written.header["pixdim"][:4], image.header["pixdim"][:4])
        for field in ("qform_code", "sform_code", "xyzt_units"):
            assert np.array_equal(written.header[field], image.header[field]), field
