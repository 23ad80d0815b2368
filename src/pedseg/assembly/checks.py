"""What classes and functions that the settings name say of their own settings, before anything is built with data."""

from collections.abc import Callable

from pedseg.assembly.methods import build_methods
from pedseg.assembly.targets import build_optimizer, build_schedule
from pedseg.errors import PedsegError
from pedseg.networks.kinds import check
from pedseg.settings.run import RunSettings


def check_parts(settings: RunSettings) -> None:
    """Ask network, optimiser, schedule and every method whether they can be made as they are set.

    Raises:
        PedsegError: some cannot; a line for each fault.
    """
    parts: list[Callable[[], object]] = [
        lambda: check(settings.model.as_json()),
        lambda: build_optimizer(settings.optimizer),
        lambda: build_schedule(settings.lr_schedule),
        *(lambda name=name, one=one: build_methods({name: one}) for name, one in settings.adaptation.root.items()),
    ]
    faults = []
    for part in parts:
        try:
            part()
        except PedsegError as error:
            faults.append(str(error))
    if faults:
        raise PedsegError("\n".join(faults))
