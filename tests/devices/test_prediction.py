"""A case predicted elsewhere than on the CPU: logits, label maps, test-time adaptation, calibration."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pedseg.calibration.calibration import Calibration
from pedseg.cases import Case, find_cases
from pedseg.inference import Predictor, Settings, sliding_window_logits
from pedseg.inference.tent import adapted, harmless, norm_parameters
from pedseg.settings.variants import Variant
from tests.builders import write_case, write_checkpoint
from tests.devices.elsewhere import to_cpu
from tests.inference.test_tent import make_image, make_network

CPU = torch.device("cpu")
PATCH = (16, 16, 16)
THRESHOLDS = (0.2, -0.1, 0.3)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    name = "BraTS-PED-90001-000"
    write_case(tmp_path / "case", name, seed=1)
    return find_cases(tmp_path / "case", cohort="ped", labelled=False).cases[0]


@pytest.mark.parametrize("sums_on_cpu", [False, True])
def test_windows(device: torch.device, sums_on_cpu: bool) -> None:
    """The network is on the device; the volume and its sums are there too, or on the CPU."""
    network, (image, _) = make_network(), make_image()
    expected = sliding_window_logits(network, image, patch_size=PATCH, channels_last=True)
    own = sliding_window_logits(
        make_network().to(device), image if sums_on_cpu else image.to(device), patch_size=PATCH, window_batch=3,
        device=device, channels_last=True,
    )  # fmt: skip
    assert own.device.type == ("cpu" if sums_on_cpu else device.type)
    torch.testing.assert_close(to_cpu(own).cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("calibrated", "steps"), [(False, 0), (True, 2)])
def test_a_predictor_of_two_networks(
    device: torch.device, case: Case, tmp_path: Path, calibrated: bool, steps: int
) -> None:
    """Label maps hardly differ from the CPU's, adapted to the case or not."""
    checkpoints = [write_checkpoint(tmp_path / f"{seed}.ckpt", seed=seed) for seed in (0, 1)]
    if calibrated:
        for checkpoint in checkpoints:
            content = torch.load(checkpoint, weights_only=True)
            content["pedseg"]["network"]["thresholds"] = list(THRESHOLDS)
            torch.save(content, checkpoint)
    settings = Settings(mirror=False, adapt_steps=steps)
    on_cpu, own = (Predictor(checkpoints, device=place, settings=settings) for place in (CPU, device))
    image = torch.from_numpy(on_cpu.prepare(case).normalised())
    torch.testing.assert_close(own.logits(image), on_cpu.logits(image), atol=1e-4, rtol=1e-4)
    differing = np.mean(own.predict(case) != on_cpu.predict(case))
    assert differing < 1e-3
    assert own.adaptations_kept == on_cpu.adaptations_kept
    assert all(parameter.device.type == device.type for network in own.networks for parameter in network.parameters())


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_adaptation_to_a_case(device: torch.device, norm: str) -> None:
    """Norms move as on the CPU, and have their old bits afterwards; what is predicted meanwhile is as harmless."""
    settings = Settings(mirror=False, adapt_steps=3, adapt_rate=1e-3)
    image, brain = make_image()
    network, moved = make_network(norm), make_network(norm).to(device)
    before = [to_cpu(parameter).clone() for parameter in moved.parameters()]
    window: Callable[..., torch.Tensor] = sliding_window_logits
    own, after = {}, {}
    for place, one in ((CPU, network), (device, moved)):
        own[place] = window(one, image.to(place), patch_size=PATCH, mirror=False, channels_last=True).cpu()
        with adapted(one, image.to(place), brain, patch_size=PATCH, settings=settings):
            after[place] = window(one, image.to(place), patch_size=PATCH, mirror=False, channels_last=True).cpu()
            assert all(parameter.grad is not None for parameter in norm_parameters(one))
    torch.testing.assert_close(after[device], after[CPU], atol=2e-3, rtol=1e-3)
    assert not torch.equal(after[CPU], own[CPU])
    assert harmless(own[device], after[device], brain) == harmless(own[CPU], after[CPU], brain)
    for parameter, value in zip(moved.parameters(), before, strict=True):
        assert torch.equal(to_cpu(parameter).cpu(), value.cpu())


def test_parts_are_calibrated_from_logits_there(device: torch.device) -> None:
    logits = 3 * torch.randn(3, 20, 18, 16, generator=torch.Generator("cpu").manual_seed(0))
    found = []
    for place in (CPU, device):
        calibration = Calibration(Variant.model_validate({"shares": {"tc": 0.7, "et": 0.2}}), images=1)
        calibration.target.count(0, logits.to(place))
        thresholds = calibration.thresholds()
        assert isinstance(thresholds, list)
        found.append(thresholds)
    assert found[1] == pytest.approx(found[0], abs=1e-3)
    assert found[0][2] > found[0][1] > -10
