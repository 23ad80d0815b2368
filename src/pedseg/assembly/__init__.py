"""From the settings of a run to its objects. Everything below takes plain arguments."""

from pedseg.assembly.cases import evaluation_cases, held_out_cases
from pedseg.assembly.checks import check_parts
from pedseg.assembly.leaks import check_leaks
from pedseg.assembly.machine import on_this_machine
from pedseg.assembly.objects import build_data, build_module, build_trainer, select, with_table_noted
from pedseg.assembly.processes import Processes
from pedseg.assembly.tracking import followed, retold
from pedseg.assembly.validation import validate_own
from pedseg.assembly.variants import Trained, add_variant, missing_variants

__all__ = [
    "Processes",
    "Trained",
    "add_variant",
    "build_data",
    "build_module",
    "build_trainer",
    "check_leaks",
    "check_parts",
    "evaluation_cases",
    "followed",
    "held_out_cases",
    "missing_variants",
    "on_this_machine",
    "retold",
    "select",
    "validate_own",
    "with_table_noted",
]
