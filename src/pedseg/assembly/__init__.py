"""From the composed configuration of a run to its objects. Everything below takes plain arguments."""

from pedseg.assembly.calibration import calibrate, calibration_target
from pedseg.assembly.machine import on_this_machine
from pedseg.assembly.objects import build_data, build_loggers, build_module, select

__all__ = [
    "build_data",
    "build_loggers",
    "build_module",
    "calibrate",
    "calibration_target",
    "on_this_machine",
    "select",
]
