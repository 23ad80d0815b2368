"""Arguments that conf/ names, checked against the signature of what will be called."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field

from pedseg.errors import PedsegError
from pedseg.settings.signature import (
    Number,
    SettingError,
    Whole,
    below,
    checked_arguments,
    descriptions,
    signature_model,
    understand_none,
)


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
        ({"weight": -1}, "adaptation.example.weight=-1: should be greater than or equal to 0; give such a number"),
        ({"weight": True}, "adaptation.example.weight=True: give a number"),
        ({"weight": float("nan")}, "adaptation.example.weight=nan: give a number"),
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
        (
            {"weight": 1, "blocks": {"channels": 0}},
            "adaptation.example.blocks.channels=0: should be greater than 0; give such a number",
        ),
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


def test_descriptions_are_those_of_the_docstring() -> None:
    def example(*, weight: float, longer: float = 1.0) -> None:
        """Do something.

        Args:
            weight: of the term.
            longer: what takes more than
                one line.

        Raises:
            PedsegError: never.
        """
        del weight, longer

    said = {name: field.description for name, field in signature_model(example).model_fields.items()}
    assert said == {"weight": "of the term.", "longer": "what takes more than one line."}
    assert descriptions(check) == {}


def test_faults_name_their_owner() -> None:
    wanted = r"^adaptation\.dann\.decoder_stage=9: there are 5$"
    with pytest.raises(PedsegError, match=wanted), below("adaptation"), below("dann"):
        raise SettingError("decoder_stage", 9, "there are 5")
    with pytest.raises(PedsegError, match=r"^adaptation\.norm: no batch norms$"), below("adaptation.norm"):
        raise PedsegError("no batch norms")


def test_keys_of_mappings_are_named() -> None:
    def example(*, bounds: dict[Literal["tc", "et"], Annotated[list[Number], Field(min_length=2)]]) -> None:
        del bounds

    for given, said in (
        ({"wt": [0, 1]}, "x.bounds.wt='wt': should be 'tc' or 'et'"),
        ({"tc": [0]}, "x.bounds.tc=[0]: list should have at least 2 items after validation, not 1"),
    ):
        with pytest.raises(PedsegError) as raised:
            checked_arguments(example, {"bounds": given}, where="x")
        assert str(raised.value) == said
