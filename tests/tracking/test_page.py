"""docs/tracking.md says what a dashboard shows: all that a run logs stands there, and all there is explained."""

import re

from pedseg.runs import RunFolder
from tests.tracking_page import HIDDEN, PAGE, meaning, table
from tests.wandb_records import sessions, summary_of

ON_REQUEST = ("cases/", "val/source/slice")  # images


def test_the_page_has_every_name_that_a_run_logs(shown: RunFolder) -> None:
    (records,) = sessions(shown.path)
    logged = {name for name in summary_of(records) if not name.startswith((*HIDDEN, *ON_REQUEST))}
    listed = set(re.findall(r"^\| `(\S+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {name for name in logged if not name.startswith("validator/")} <= listed  # of which there may be more by now
    assert all(meaning(name) for name in listed)
    assert {
        "test/core/tc/dice",
        "test/tent/wt/hd95_mm",
        "calibration/calibrated/tc/logit",
        "validator/plain/sizes",
    } <= listed


def test_the_table_says_the_meaning_of_a_group_once() -> None:
    rows = table({"val/b": 0.5, "test/a": 1.23456, "_step": 3, "val/a": 1}, {"val/a": 2})
    assert [row.split(" | ")[:3] for row in rows[2:]] == [
        ["| `test/a`", "1.235", "0"],
        ["| `val/a`", "1", "2"],
        ["| `val/b`", "0.5", "0"],
    ]
    assert [bool(row.split(" | ")[3].strip(" |")) for row in rows[2:]] == [True, True, False]
