"""Prepared cases and the patches drawn from them.

What needs torch and Lightning is imported from its module, so that preparing a cohort does not load them.
"""

from pedseg.data.selection import Selection, select_cases
from pedseg.data.store import CohortStore, StoredCase

__all__ = ["CohortStore", "Selection", "StoredCase", "select_cases"]
