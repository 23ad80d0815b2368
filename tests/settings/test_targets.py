"""Classes that settings name: which are taken, and why others are refused."""

from abc import ABC, abstractmethod
from typing import Any

import pytest

from pedseg.errors import PedsegError
from pedseg.settings.targets import target_class


class Base:
    """What is asked for."""


class Child(Base):
    """What may be named."""


class Unfinished(Base, ABC):
    """What cannot be built."""

    @abstractmethod
    def loss(self) -> None: ...


def find(named: Any) -> type[Base]:
    return target_class({"_target_": named}, Base, where="adaptation.mine")


def test_a_subclass_is_found() -> None:
    assert find(f"{__name__}.Child") is Child


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (None, "give the full name of a subclass of"),
        ("Child", "such as package.module.Name"),
        ("no_such_package.Child", "cannot be imported (No module named 'no_such_package'); install its package"),
        (f"{__name__}.Chlid", "holds no Chlid"),
        ("pathlib.Path", "is no subclass of"),
        ("os.system", "nothing else can stand here"),
        (f"{__name__}.Unfinished", "is abstract; give a subclass of it, which defines loss"),
    ],
)
def test_others_are_refused_with_why(named: Any, said: str) -> None:
    with pytest.raises(PedsegError) as raised:
        find(named)
    assert str(raised.value).startswith(f"adaptation.mine._target_={named}")
    assert said in str(raised.value)
