"""What a run will take: cases, hours, memory and disk, before it begins."""

from pedseg.planning.make import make_plan
from pedseg.planning.plan import Plan
from pedseg.planning.show import show

__all__ = ["Plan", "make_plan", "show"]
