"""Test-time adaptation: what it changes, that it is undone, and that harm is seen without a label."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.imaging import PreparedImage
from pedseg.inference import Predictor, Settings, load_network, predict_cases, sliding_window_logits
from pedseg.inference.tent import LEAST_VOXELS, adapted, harmless, norm_parameters
from pedseg.labels import get_convention
from pedseg.networks import UNet
from tests.builders import write_case, write_checkpoint

CPU = torch.device("cpu")
BRATS = get_convention("brats2023")
PATCH = (16, 16, 16)
OFF = Settings(mirror=False)
ON = Settings(mirror=False, adapt_steps=3, adapt_rate=3e-3)
HUGE = Settings(mirror=False, adapt_steps=3, adapt_rate=10.0)


def make_network(norm: str = "instance", *, seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    network = UNet(patch_size=PATCH, base_features=4, max_features=8, norm=norm, deep_supervision=True)  # type: ignore[arg-type]
    with torch.no_grad():  # running statistics as of a trained network
        for _ in range(20):
            network(torch.randn(2, 4, *PATCH))
    return network.to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload,no-any-return]


def make_image(size: Sequence[int] = (18, 20, 17), *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    brain = torch.zeros(*size, dtype=torch.bool)
    brain[3:-2, 2:-4, 1:-3] = True
    return torch.randn(4, *size, generator=generator) * brain, brain


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def entropy(logits: Tensor, brain: Tensor) -> float:
    p = logits[:, brain].double().sigmoid()
    return float((-p * p.log() - (1 - p) * (1 - p).log()).mean())


def open_case(folder: Path, number: int = 1) -> Case:
    name = f"BraTS-PED-9000{number}-000"
    write_case(folder / str(number), name, seed=number)
    return find_cases(folder / str(number), cohort="ped", labelled=False).cases[0]


def case_logits(predictor: Predictor, image: Tensor, brain: Tensor) -> Tensor:
    with predictor.following(image, brain) as logits:
        return logits


def tensors(prepared: PreparedImage) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_norms_alone_move_and_come_back(norm: str) -> None:
    network, (image, brain) = make_network(norm), make_image()
    before = bits(network)
    with adapted(network, image, brain, patch_size=PATCH, settings=ON):
        during = bits(network)
        assert all((p.grad is not None) == any(p is q for q in norm_parameters(network)) for p in network.parameters())
    norms = {f"{name}.{part}" for name, m in network.named_modules() for part in ("weight", "bias") if "norm" in name}
    assert changed(before, during) == norms & before.keys()
    assert len(norm_parameters(network)) == len(norms & before.keys()) > 0
    assert changed(before, bits(network)) == set()
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_one_step_equals_adam_on_the_entropy_written_out(norm: str) -> None:
    network, (image, brain) = make_network(norm), make_image((12, 16, 9))  # smaller than the window: there is only one
    padded = nn.functional.pad(image, (3, 4, 0, 0, 2, 2))
    p = network(padded[None].contiguous(memory_format=torch.channels_last_3d))[0, :, 2:14, :, 3:12].sigmoid()[:, brain]
    loss = -(p * p.log() + (1 - p) * (1 - p).log()).sum() / (3 * brain.sum())
    gradients = torch.autograd.grad(loss, norm_parameters(network))
    expected = [
        p.detach() - 0.01 * g / (g.abs() + 1e-8) for p, g in zip(norm_parameters(network), gradients, strict=True)
    ]
    with adapted(network, image, brain, patch_size=PATCH, settings=Settings(adapt_steps=1, adapt_rate=0.01)):
        for parameter, value, gradient in zip(norm_parameters(network), expected, gradients, strict=True):
            sure = gradient.abs() > 1e-5  # the sign of a gradient that is 0 but for rounding says nothing
            torch.testing.assert_close(parameter.detach()[sure], value[sure], atol=1e-5, rtol=0)
    assert any((gradient.abs() > 1e-5).any() for gradient in gradients)


def test_parameters_come_back_after_an_error() -> None:
    network, (image, brain) = make_network(), make_image()
    before = bits(network)
    with pytest.raises(KeyError), adapted(network, image, brain, patch_size=PATCH, settings=ON):
        raise KeyError
    assert changed(before, bits(network)) == set()
    seen: list[bool] = []

    def fail_at_last(*_: object) -> None:
        seen.append(bool(changed(before, bits(network))))
        if len(seen) == ON.adapt_steps:
            raise torch.OutOfMemoryError

    network.register_forward_pre_hook(fail_at_last)
    with pytest.raises(torch.OutOfMemoryError), adapted(network, image, brain, patch_size=PATCH, settings=ON):
        pytest.fail("the context was entered")
    assert seen == [False, True, True]
    assert changed(before, bits(network)) == set()
    assert all(p.grad is None for p in network.parameters())


def test_windows_lie_about_the_brain() -> None:
    image, brain = make_image((40, 18, 60))
    brain[:] = False
    brain[39, 0, 30] = brain[0, 17, 59] = True
    image[:] = torch.arange(40).view(-1, 1, 1)
    first_planes = set()

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm3d(4)

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape == (1, 4, *PATCH)
            first_planes.add(float(x[0, 0, 0, 0, 0]))
            return self.norm(x)  # type: ignore[no-any-return]

    with adapted(Watching().eval(), image, brain, patch_size=PATCH, settings=Settings(adapt_steps=20)):
        assert first_planes == {0.0, 24.0}


def masks(*volumes: int, certainty: float) -> Tensor:
    """Logits of regions with so many voxels, out of 1000."""
    rows = torch.full((len(volumes), 1000), -certainty)
    for row, volume in zip(rows, volumes, strict=True):
        row[:volume] = certainty
    return rows.view(-1, 10, 10, 10)


@pytest.mark.parametrize(
    ("own", "after", "fine"),
    [
        ((400, 100, 0), (400, 100, 0), True),
        ((400, 100, 0), (200, 200, LEAST_VOXELS), True),  # at the bounds
        ((400, 100, 0), (199, 100, 0), False),
        ((400, 100, 0), (801, 100, 0), False),
        ((400, 100, 0), (400, 201, 0), False),
        ((400, 100, 0), (400, 0, 0), False),
        ((400, 100, 0), (400, 100, LEAST_VOXELS + 1), False),  # out of nothing
        ((400, LEAST_VOXELS, 0), (400, 24, 0), False),
        ((400, LEAST_VOXELS - 1, 0), (400, 0, 0), True),  # too small to matter
        ((400, 3, 0), (400, 3 + LEAST_VOXELS, 0), True),
        ((400, 3, 0), (400, 4 + LEAST_VOXELS, 0), False),
    ],
)
def test_harm_is_a_volume_that_runs_away(own: Sequence[int], after: Sequence[int], fine: bool) -> None:
    brain = torch.ones(10, 10, 10, dtype=torch.bool)
    assert harmless(masks(*own, certainty=1.0), masks(*after, certainty=1.1), brain) == fine
    assert not harmless(masks(*own, certainty=1.0), masks(*after, certainty=1.0), brain)  # entropy has not fallen
    assert not harmless(masks(*own, certainty=1.0), masks(*after, certainty=0.9), brain)


def test_harm_is_a_region_that_moves() -> None:
    brain = torch.ones(10, 10, 10, dtype=torch.bool)
    own, after = masks(400, certainty=1.0), masks(400, certainty=1.1).flatten()
    assert harmless(own, after.roll(200).view_as(own), brain)
    assert not harmless(own, after.roll(201).view_as(own), brain)


def test_entropy_is_compared_inside_the_brain() -> None:
    brain = torch.zeros(10, 10, 10, dtype=torch.bool)
    brain[:5] = True
    own = masks(300, certainty=1.0)
    after = torch.where(brain, own * 0.99, own * 5)
    assert not harmless(own, after, brain)
    assert harmless(own, torch.where(brain, own * 1.01, own / 5), brain)


def test_off_is_the_network_itself(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    predictor = Predictor([path], device=CPU, settings=OFF)
    prepared = predictor.prepare(open_case(tmp_path / "in"))
    network = load_network(path).network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    image = tensors(prepared)[0]
    expected = sliding_window_logits(network, image, patch_size=PATCH, mirror=False, channels_last=True)
    assert torch.equal(predictor.logits(image), expected)
    assert np.array_equal(predictor.segment(prepared)[(slice(None), *prepared.crop)], expected.numpy() > 0)
    assert predictor.adaptations_kept == []


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_gentle_adaptation_is_kept(precision: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    settings = Settings(mirror=False, adapt_steps=3, adapt_rate=3e-3, precision=precision)  # type: ignore[arg-type]
    predictor = Predictor([path], device=CPU, settings=settings)
    prepared = predictor.prepare(open_case(tmp_path / "in"))
    image, brain = tensors(prepared)
    own, after = predictor.logits(image), case_logits(predictor, image, brain)
    assert predictor.adaptations_kept == [True]
    assert entropy(after, brain) < entropy(own, brain)
    assert torch.equal(predictor.logits(image), own)
    with torch.inference_mode():  # whatever the caller does
        assert torch.equal(case_logits(predictor, image.clone(), brain.clone()), after)
    assert np.array_equal(predictor.segment(prepared)[(slice(None), *prepared.crop)], after.numpy() > 0)


@pytest.mark.parametrize("rate", [10.0, 1e30])  # harm, and logits that are no numbers
def test_a_harming_adaptation_leaves_the_own_prediction(rate: float, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    off = Predictor([path], device=CPU, settings=OFF)
    on = Predictor([path], device=CPU, settings=Settings(mirror=False, adapt_steps=3, adapt_rate=rate))
    prepared = off.prepare(open_case(tmp_path / "in"))
    image, brain = tensors(prepared)
    before = bits(on.networks[0])
    assert torch.equal(case_logits(on, image, brain), off.logits(image))
    assert np.array_equal(on.segment(prepared), off.segment(prepared))
    assert on.adaptations_kept == [False, False]
    assert changed(before, bits(on.networks[0])) == set()


def test_other_cases_do_not_matter(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path / f"{seed}.ckpt", seed=seed) for seed in (1, 2)]
    cases = [tensors(Predictor(paths, device=CPU).prepare(open_case(tmp_path / "in", n))) for n in (1, 2)]
    forwards, backwards = (Predictor(paths, device=CPU, settings=ON) for _ in range(2))
    first = [case_logits(forwards, *case) for case in cases]
    second = [case_logits(backwards, *case) for case in cases[::-1]][::-1]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert forwards.adaptations_kept == backwards.adaptations_kept[::-1] == [True, True]


def test_each_network_of_an_ensemble_adapts(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path / f"{seed}.ckpt", seed=seed) for seed in (1, 2)]
    both = Predictor(paths, device=CPU, settings=ON)
    image, brain = tensors(both.prepare(open_case(tmp_path / "in")))
    each = []
    for network in both.networks:
        with adapted(network, image, brain, patch_size=PATCH, settings=ON):
            each.append(sliding_window_logits(network, image, patch_size=PATCH, mirror=False, channels_last=True))
    assert torch.equal(case_logits(both, image, brain), (each[0] + each[1]) / 2)
    assert both.adaptations_kept == [True]


def test_records_tell_adaptation_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, case, out = write_checkpoint(tmp_path / "last.ckpt"), open_case(tmp_path / "in"), tmp_path / "out"
    off, on, gone = (Predictor([path], device=CPU, settings=settings) for settings in (OFF, ON, HUGE))
    assert predict_cases(off, [case], out, convention=BRATS) == []
    record = {"step": 0.5, "mirror": False, "precision": "32", "window_batch": 1, "convention": str(BRATS)}
    assert read_json(out / "predictions.json") == {"checkpoints": off.identities, **record}  # as it always was
    write_json(out / "predictions.json", {"checkpoints": off.identities, **record})
    assert predict_cases(off, [case], out, convention=BRATS) == []
    for predictor in (on, gone):
        with pytest.raises(PedsegError, match="other checkpoints or settings"):
            predict_cases(predictor, [case], out, convention=BRATS)
    caplog.set_level(logging.INFO, logger="pedseg")
    for predictor, kept in ((on, 1), (gone, 0)):
        assert predict_cases(predictor, [case], out, convention=BRATS, overwrite=True) == []
        assert caplog.messages[-1] == f"test-time adaptation: kept for {kept} of 1 cases"
        recorded = read_json(out / "predictions.json")
        assert (recorded["adapt_steps"], recorded["adapt_rate"]) == (3, predictor.settings.adapt_rate)
    assert predict_cases(gone, [case], out, convention=BRATS) == []  # nothing to do, nothing to say
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"adapt_steps": -1},
        {"adapt_rate": 0.0},
        {"adapt_rate": float("nan")},
        {"step": 0.0},
        {"step": 1.5},
        {"precision": "8"},
        {"window_batch": 0},
    ],
)
def test_settings_that_cannot_be(values: dict[str, float]) -> None:
    with pytest.raises(PedsegError, match=next(iter(values))):
        Settings(**values)  # type: ignore[arg-type]
