"""Which methods settings choose, in which order, and what can be said of a run by them without building anything."""

from typing import Any

import pytest

from pedseg.adaptation import DomainAdversary, Method, Stage, Takes, methods_of, takes_from_target
from pedseg.errors import PedsegError
from tests.methods import EVERY, settings_of


class Silent(Method):
    """Declares nothing."""


class Late(Method):
    """Acts last of all."""

    stage = Stage.OUTPUTS
    takes = Takes.NOTHING


def of(*files: str) -> dict[str, Any]:
    return {name: settings for file in files for name, settings in settings_of(file).items()}


def test_images_are_changed_before_they_are_read_whatever_the_order_of_the_settings() -> None:
    """The order decides how the terms of a loss are added up, so it decides bits."""
    order = ["fourier", "histogram", "strong", "norm", "dann", "mean_teacher", "entropy", "prior"]
    assert list(methods_of(of(*order))) == list(methods_of(of(*order[::-1]))) == order
    late = {"zzz": {"_target_": f"{__name__}.Late"}, "aaa": {"_target_": f"{__name__}.Late"}}
    assert list(methods_of({**late, **of("prior", "strong")})) == ["strong", "aaa", "prior", "zzz"]


def test_nothing_of_the_target_is_taken_by_methods_without_strength() -> None:
    assert not takes_from_target({})
    assert not takes_from_target(of("strong"))
    assert not takes_from_target({"dann": {**of("dann")["dann"], "alpha_max": 0}, **of("strong")})
    assert takes_from_target(of("strong", "dann"))
    assert takes_from_target(of("norm"))
    assert not takes_from_target({"late": {"_target_": f"{__name__}.Late"}})


@pytest.mark.parametrize("file", EVERY)
def test_declarations_hold_together(file: str) -> None:
    """Who needs a target takes something of it, and each strength is a setting."""
    ((name, kind),) = methods_of(settings_of(file)).items()
    assert kind.needs_target == (kind.takes is not Takes.NOTHING)
    for strength in kind.strengths:
        assert kind.takes_with({**settings_of(file)[name], strength: 0}) is Takes.NOTHING
    if issubclass(kind, DomainAdversary):
        assert kind.strengths


@pytest.mark.parametrize(
    ("adaptation", "said"),
    [
        ({"magic": {"probability": 1}}, "adaptation.magic has no _target_, so that it is no method; choose methods by"),
        ({"alpha_max": 3.0}, "adaptation.alpha_max is adaptation.dann.alpha_max now"),
        ({"dann": None}, "adaptation.dann has no _target_"),
        ({"mine": {"_target_": "torch.nn.Linear"}}, "mine._target_=torch.nn.Linear is no subclass of pedseg."),
        ({"mine": {"_target_": "pedseg.adaptation.style._Style"}}, "is abstract"),
        ({"mine": {"_target_": f"{__name__}.Silent"}}, "does not say its stage; set stage = Stage..."),
    ],
)  # fmt: skip
def test_what_is_no_method_is_refused(adaptation: dict[str, Any], said: str) -> None:
    with pytest.raises(PedsegError) as raised:
        methods_of(adaptation)
    assert said in str(raised.value)
