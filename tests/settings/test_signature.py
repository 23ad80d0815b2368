"""Arguments that conf/ names, checked against the signature of what will be called."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field

from pedseg.errors import PedsegError
from pedseg.settings.signature import Number, Whole, checked_arguments, understand_none


class Blocks(BaseModel, extra="forbid"):
    channels: Annotated[Whole, Field(gt=0)] = 100


class Example:
    def __init__(
        self,
        *,
        network: str,
        weight: Annotated[Number, Field(ge=0)],
        reads: Literal["features", "entropy"] = "features",
        limit: Annotated[Number | None, BeforeValidator(understand_none)] = None,
        blocks: Blocks = Blocks(),  # noqa: B008
    ) -> None:
        self.given = (network, weight, reads, limit, blocks)


def check(**given: Any) -> dict[str, Any]:
    return checked_arguments(Example, given, where="adaptation.example", without=["network"])


def test_arguments_come_as_the_annotations_want_them() -> None:
    checked = check(weight="0.5", limit="none", blocks={"channels": 8})
    assert checked == {"weight": 0.5, "limit": None, "blocks": Blocks(channels=8)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight": -1}, "adaptation.example.weight=-1: should be greater than or equal to 0"),
        ({"weight": True}, "adaptation.example.weight=True: give a number"),
        ({"weight": float("nan")}, "adaptation.example.weight=nan: should be a finite number"),
        ({}, "adaptation.example.weight is missing; give adaptation.example.weight=..."),
        ({"weight": 1, "raeds": "features"}, "adaptation.example.raeds is unknown; did you mean reads?"),
        (
            {"weight": 1, "network": "x"},
            "adaptation.example.network is unknown; there are blocks, limit, reads, weight",
        ),
        ({"weight": 1, "reads": "all"}, "adaptation.example.reads='all': should be 'features' or 'entropy'"),
        (
            {"weight": 1, "blocks": {"chanels": 1}},
            "adaptation.example.blocks.chanels is unknown; did you mean channels?",
        ),
        ({"weight": 1, "blocks": {"channels": 0}}, "adaptation.example.blocks.channels=0: should be greater than 0"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(PedsegError) as raised:
        check(**given)
    assert str(raised.value) == said


def test_a_function_that_takes_anything_by_name_gets_it() -> None:
    def example(*, scale: float = 1.0, **others: float) -> None:
        del scale, others

    assert checked_arguments(example, {"scale": 2, "gamma": 3}, where="x") == {"scale": 2.0, "gamma": 3}
