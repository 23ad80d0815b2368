"""How cohorts are divided into folds: the group `folds`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from pedseg.settings.fields import Group, setting
from pedseg.settings.values import OrNone, Text

GROUPINGS = ("patient", "published")


def _known_grouping(value: str) -> str:
    if value not in GROUPINGS and not value.endswith(".json"):
        raise ValueError(f"give {', '.join(GROUPINGS)} or a .json file of nnU-Net's splits")
    return value


class Whose(Group):
    """Whose cases are whose."""

    patients: Annotated[
        OrNone[Text],
        setting(
            "Whose the cases are: a table (.csv, .tsv, .json; columns case and patient), or a regular expression whose "
            "group is the patient. It holds from the next command on, with nothing prepared again; null: ids tell."
        ),
    ] = None


class Folds(Whose):
    """How cohorts are divided, and whose cases are whose."""

    SHORT = "by"
    by: Annotated[
        Annotated[Text, AfterValidator(_known_grouping)],
        setting(
            "How folds are made: patient: no patient on both sides; published: the authors'; or a file of them. "
            "`folds=...` is short for it."
        ),
    ]
    table_digest: Annotated[OrNone[Text], setting("Of what the table said; written by the run.")] = None

    @property
    def grouping(self) -> Literal["published", "patient"]:
        """What made folds keep together."""
        return "published" if self.by == "published" else "patient"

    @property
    def file(self) -> str | None:
        """File of folds; None where they are made."""
        return None if self.by in GROUPINGS else self.by


def _whole(value: Any) -> Any:  # noqa: ANN401  (whatever was given)
    return {Folds.SHORT: value} if isinstance(value, str) else value


FoldsOrShort = Annotated[Folds, BeforeValidator(_whole)]
