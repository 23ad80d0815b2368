"""The settings of a run as its config.json has them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError

from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.settings.cohorts import Part
from pedseg.settings.faults import messages
from pedseg.settings.fields import Group, setting
from pedseg.settings.history import lifted
from pedseg.settings.run import Checked, Fold, RunSettings
from pedseg.settings.values import Text
from pedseg.settings.variants import Variant

CONFIG = "config.json"
ORIGIN = "imported"  # key that only imported runs have


class ImportedData(Group):
    """What the network of an imported run was trained on."""

    source: Annotated[dict[Text, Part], setting("Data sets with labels.")]
    target: Annotated[tuple[Text, ...], setting("Cohorts without labels.")] = ()

    @property
    def labelled_source(self) -> Mapping[str, Part]:
        """Data sets that it was trained on with labels."""
        return self.source


class ImportedSettings(Checked):
    """What is known of a run that other software trained."""

    imported: Annotated[dict[str, Any], setting("Where it came from.")]
    run_name: Annotated[Text, setting("Its name.")]
    run_fold: Annotated[Fold, setting("Its fold.")]
    model: Annotated[dict[str, Any], setting("Settings of its network.")]
    data: Annotated[ImportedData, setting("What it was trained on.")]


Stored = RunSettings | ImportedSettings


def read_settings(folder: Path) -> RunSettings:
    """Read the settings of a run that was trained here, by this version or an older one.

    Args:
        folder: of the run.

    Raises:
        PedsegError: there is no config.json, it is damaged or of an unknown version, or the run was imported.
    """
    settings = read_stored(folder)
    if isinstance(settings, ImportedSettings):
        raise PedsegError(f"{folder}: was imported and names no cohorts; give a run that was trained here")
    return settings


def read_stored(folder: Path) -> Stored:
    """Read the settings of a run, trained here or imported.

    Raises:
        PedsegError: there is no config.json, or it is damaged or of an unknown version.
    """
    path = folder / CONFIG
    config = read_json(path)
    if not isinstance(config, dict):
        raise PedsegError(f"{path}: holds no settings; restore it, or train the run again with overwrite=true")
    try:
        return ImportedSettings.of(config) if ORIGIN in config else RunSettings.of(lifted(config))
    except PedsegError as error:
        faults = str(error).replace("\n", "\n  ")
        raise PedsegError(
            f"{path}: cannot be read as settings of a run\n  {faults}\nMend it, read it with the version that wrote "
            "it, or give the run's command again with overwrite=true to train it anew."
        ) from error


def read_variant(path: Path) -> Variant:
    """Read the settings of a variant of a run from the file that it has written.

    Raises:
        PedsegError: it is damaged or of an unknown version.
    """
    try:
        return Variant.model_validate(read_json(path))
    except ValidationError as error:
        faults = "; ".join(messages(error, where=str(path), model=Variant))
        raise PedsegError(f"{faults}; restore it, or make the variant again") from None
