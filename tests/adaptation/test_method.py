"""Random numbers by place, and what a step offers a method."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from pedseg.adaptation import (
    DomainAdversary,
    Draw,
    EntropyMinimisation,
    FourierStyle,
    Step,
    StrongAugmentation,
    Takes,
)
from pedseg.adaptation.method import LEAST_BRAIN, brain_mean, inside, ramp
from pedseg.labels import Domain
from pedseg.settings.signature import SettingError
from tests.adaptation.steps import MakeStep


def test_the_same_place_gives_the_same_numbers_whatever_was_drawn_before() -> None:
    draw = Draw(seed=1, epoch=2, batch=3)
    first = draw.stream("mask", sample=1, samples=2).random(5)
    draw.stream("other").random(99)
    assert np.array_equal(Draw(1, 2, 3).stream("mask", sample=1, samples=2).random(5), first)


def test_every_part_of_a_place_matters() -> None:
    places = [Draw(1, 2, 3), Draw(2, 2, 3), Draw(1, 3, 3), Draw(1, 2, 4), Draw(1, 2, 3, rank=1), Draw(3, 2, 1)]
    drawn = [place.stream("mask").random() for place in places]
    drawn += [places[0].stream("kasm").random(), places[0].stream("mask", sample=1, samples=3).random()]
    # one sample per process: the second sample of all is that of rank 1
    assert drawn[4] == pytest.approx(drawn.pop())
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_processes_draw_what_one_does_with_the_whole_batch(processes: int) -> None:
    whole = [Draw(0, 1, 2).stream("tone", sample=i, samples=6).random() for i in range(6)]
    share = 6 // processes
    parts = [
        Draw(0, 1, 2, rank).stream("tone", sample=i, samples=share).random()
        for rank in range(processes)
        for i in range(share)
    ]
    assert parts == whole


def test_a_step_has_no_label() -> None:
    assert {field.name for field in fields(Step)} == {
        "network", "loaded", "images", "output", "draw", "log", "watched", "scale",
    }  # fmt: skip


def test_domains_and_target_logits(make_step: MakeStep) -> None:
    logits = torch.arange(3.0).view(3, 1, 1, 1, 1).bfloat16()
    both = {Domain.SOURCE: torch.zeros(1, 4, 1, 1, 1), Domain.TARGET: torch.zeros(2, 4, 1, 1, 1)}
    step, _ = make_step(both, logits)
    assert step.domain.tolist() == [0, 1, 1]
    target = step.target_logits()
    assert target is not None
    assert target.dtype == torch.float32
    assert target.flatten().tolist() == [1, 2]
    alone, _ = make_step({Domain.SOURCE: torch.zeros(3, 4, 1, 1, 1)}, logits)
    assert alone.target_logits() is None
    assert alone.domain.tolist() == [0, 0, 0]


def test_inside_is_where_any_modality_is_not_zero() -> None:
    images = torch.zeros(1, 4, 1, 1, 3)
    images[0, 2, 0, 0, 1] = -0.1
    assert inside(images).flatten().tolist() == [False, True, False]


def test_brain_mean_by_hand() -> None:
    values = torch.randn(3, 2, 2, 2, 5)
    brain = torch.zeros(3, 1, 2, 2, 5, dtype=torch.bool)  # 20 voxels
    brain[0, ..., :3] = True  # 12
    brain[1, 0, 0, 0, 0] = True  # 1, below a tenth
    expected = [
        float(values[0][:, brain[0, 0]].sum()) / (12 * 2),
        float(values[1, :, 0, 0, 0].sum()) / (LEAST_BRAIN * 20 * 2),
        0.0,
    ]
    assert float(brain_mean(values, brain)) == pytest.approx(np.mean(expected), rel=1e-5)
    parts = [float(brain_mean(values[i : i + 1], brain[i : i + 1])) for i in range(3)]
    assert np.mean(parts) == pytest.approx(float(brain_mean(values, brain)), rel=1e-5)


def test_what_is_taken_from_the_target_depends_on_the_strengths() -> None:
    """A strength that the settings leave out has its default."""
    assert DomainAdversary.takes_with({"alpha_max": 3.0, "lambda_domain": 0.01}) is Takes.OUTPUTS
    for name in ("alpha_max", "lambda_domain"):
        assert DomainAdversary.takes_with({"alpha_max": 3.0, "lambda_domain": 0.01, name: 0.0}) is Takes.NOTHING
    assert EntropyMinimisation.takes_with({}) is Takes.OUTPUTS
    assert EntropyMinimisation.takes_with({"weight": 0}) is Takes.NOTHING
    assert FourierStyle.takes_with({"beta": 0.1}) is Takes.IMAGES
    assert StrongAugmentation.takes_with({}) is Takes.NOTHING


def test_a_rise_that_falls_is_refused() -> None:
    assert [ramp(maximum=2.0, start=0.2, end=0.6)(progress) for progress in (0.1, 0.4, 0.9)] == pytest.approx([0, 1, 2])
    with pytest.raises(SettingError, match=r"^alpha_start=0\.7: the rise ends at alpha_end=0\.7; give less"):
        ramp(maximum=1.0, start=0.7, end=0.7, prefix="alpha_")
