"""What is found in the files of a case."""

from dataclasses import dataclass, field

from pedseg.cases import Case, ImageFile
from pedseg.errors import PedsegError, Problem, Severity
from pedseg.labels import Modality


@dataclass(slots=True)
class Findings:
    """What has been found in a case so far.

    Attributes:
        case: the case.
        rows: the findings.
    """

    case: Case
    rows: list[Problem] = field(default_factory=list)

    @property
    def files(self) -> dict[Modality, ImageFile]:
        """Images of the case."""
        return dict(zip(Modality, self.case.images, strict=True))

    def add(self, file: str, what: str, fix: str, severity: Severity = Severity.PROBLEM) -> None:
        """Note one; `file` is a name, or several."""
        self.rows.append(Problem(self.case.id, file, what, fix, severity))

    def problems(self) -> int:
        """How many of them are problems."""
        return sum(row.severity is Severity.PROBLEM for row in self.rows)


def split_message(error: PedsegError, path: str) -> tuple[str, str]:
    """Divide the message of a reader into what is wrong and what to do."""
    what, _, fix = str(error).removeprefix(f"{path}: ").rpartition("; ")
    return (what, fix) if what else (fix, "export the file again")
