"""Rows of docs/exactness.md: tests that compare with a peer say what they compare, and record what they measured.

    @pytest.mark.exact("Logits of all heads", section="Network", peer="nnunetv2", tolerance=1e-5)
    def test_logits(exact: Exact) -> None:
        exact(largest_difference)

`exact` fails the test above the tolerance and fails to be forgotten: a marked test that passes without a measurement is
an error. ``pytest --exactness FILE`` writes what was measured, and why a marked test did not run, as JSON.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from pedseg.files import write_json

MARKER = "exact"
ROW = "exactness"  # key of a row among the properties of a report; these travel between xdist's processes
Exact = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        subject: what is compared.
        section: heading that it stands under.
        peer: distribution on PyPI that it is compared with, or what else it is.
        tolerance: largest difference that passes.
        unit: of the difference.
        test: node id of the test.
        measured: largest difference found; None if the test did not get that far.
        reason: why not.
    """

    subject: str
    section: str
    peer: str
    tolerance: float
    unit: str
    test: str
    measured: float | None = None
    reason: str = ""


def rows_of(item: pytest.Item) -> list[Row]:
    """Rows that a test promises by its markers, in the order they are written."""
    return [_row(mark, item.nodeid) for mark in reversed(list(item.iter_markers(MARKER)))]


def _row(mark: pytest.Mark, test: str) -> Row:
    (subject,) = mark.args
    unit = mark.kwargs.get("unit", "")
    return Row(subject, mark.kwargs["section"], mark.kwargs["peer"], float(mark.kwargs["tolerance"]), unit, test)


class Measurements:
    """Callable given to a test: notes the largest difference for each of its rows and checks the tolerance."""

    def __init__(self, rows: list[Row]) -> None:
        if not rows:
            raise ValueError("the fixture 'exact' needs a marker @pytest.mark.exact on the test")
        self.rows = {row.subject: row for row in rows}
        self.measured: dict[str, float] = {}

    def __call__(self, difference: float, subject: str | None = None) -> None:
        """Record `difference` for `subject` (needed where a test has several rows); fail above the tolerance."""
        row = self.rows[subject] if subject else next(iter(self.rows.values()))
        if subject is None and len(self.rows) > 1:
            raise ValueError(f"say which of {', '.join(self.rows)} was measured")
        difference = float(difference)
        self.measured[row.subject] = max(self.measured.get(row.subject, 0.0), difference)
        assert difference <= row.tolerance, f"{row.subject}: {difference:g} is above {row.tolerance:g}"

    def check_complete(self) -> None:
        """Fail if a promised row was not measured."""
        missing = [subject for subject in self.rows if subject not in self.measured]
        assert not missing, f"nothing was measured for {', '.join(missing)}"


@pytest.fixture
def exact(request: pytest.FixtureRequest) -> Iterator[Exact]:
    """Record differences for the page on exactness, see `tests.exactness`."""
    measurements = Measurements(rows_of(request.node))
    request.node.stash[_KEY] = measurements
    yield measurements
    if request.node.stash.get(_PASSED, False):
        measurements.check_complete()


_KEY: pytest.StashKey[Measurements] = pytest.StashKey()
_PASSED: pytest.StashKey[bool] = pytest.StashKey()


def note_report(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put the rows of a test into its report: measured ones after it ran, unmeasured ones if it was skipped."""
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    if report.when == "teardown" or not (report.when == "call" or report.skipped):
        return
    measurements = item.stash.get(_KEY, None)
    for row in rows_of(item):
        measured = measurements.measured.get(row.subject) if measurements else None
        reason = "" if measured is not None else _reason(report)
        report.user_properties.append((ROW, asdict(row) | {"measured": measured, "reason": reason}))


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return "the test failed"


class Collector:
    """Gathers the rows of all processes and writes them when the tests are over."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the rows out of a report."""
        self.rows += [value for name, value in report.user_properties if name == ROW and isinstance(value, dict)]

    def pytest_sessionfinish(self) -> None:
        """Write the rows."""
        write_json(self.output, self.rows)
