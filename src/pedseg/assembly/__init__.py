"""From the settings of a run to its objects. Everything below takes plain arguments."""

from pedseg.assembly.calibration import calibrate
from pedseg.assembly.machine import on_this_machine
from pedseg.assembly.objects import build_data, build_loggers, build_module, build_trainer, select

__all__ = [
    "build_data",
    "build_loggers",
    "build_module",
    "build_trainer",
    "calibrate",
    "on_this_machine",
    "select",
]
