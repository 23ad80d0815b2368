"""Whole cases: geometry, ensembles, bad cases, and outputs that are there already."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pedseg.cases import find_cases
from pedseg.errors import PedsegError
from pedseg.imaging import prepare_image, read_images
from pedseg.inference import Predictor, Settings, load_network, predict_cases
from pedseg.labels import get_convention
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
