"""A run folder for networks that other software trained."""

from dataclasses import dataclass
from typing import Any

import torch

from pedseg.errors import PedsegError
from pedseg.files import atomic_path, write_json
from pedseg.inference.checkpoint import DESCRIPTION, PREFIX, describe
from pedseg.inference.seals import sealed
from pedseg.interop.nnunet.network import Networks
from pedseg.locks import is_lock
from pedseg.ownership import foreign, listing
from pedseg.runs import RunFolder
from pedseg.settings.stored import ImportedSettings, read_stored

CLASSIFIER_PREFIX = "methods.dann.classifiers"  # as `pedseg.modules.AdaptationModule` names it, then the decoder stage


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """What is written into one run folder.

    Attributes:
        folder: where.
        networks: the networks with their weights.
        mirror_axes: axes (0 z, 1 y, 2 x) that the network may be mirrored along.
        settings: content of config.json.
    """

    folder: RunFolder
    networks: Networks
    mirror_axes: tuple[int, ...]
    settings: ImportedSettings

    @property
    def present(self) -> bool:
        """Whether exactly this was imported there before."""
        return self.folder.finished.exists() and self._before() == self.settings

    def check_room(self, *, overwrite: bool) -> None:
        """Refuse a folder that holds something else.

        Raises:
            PedsegError: it holds a run that was trained here, or, without `overwrite`, another imported one.
        """
        path = self.folder.path
        if self.present or not path.exists() or all(is_lock(inside) for inside in path.iterdir()):
            return
        before = self._before()
        if before is None:
            content = listing(foreign(path) or [RunFolder(path).config.name])
            raise PedsegError(f"{path} holds {content}, which was not imported; give another --output")
        if self.folder.finished.exists() and not overwrite:
            raise PedsegError(
                f"{self.folder.path} was imported from {before.imported.get('source')}; give another --output, or "
                "--overwrite (which removes its predictions and scores too)"
            )

    def _before(self) -> ImportedSettings | None:
        """What was imported there before, if anything was."""
        if not self.folder.config.exists():
            return None
        stored = read_stored(self.folder.path)
        return stored if isinstance(stored, ImportedSettings) else None

    def write(self) -> None:
        """Write config.json, the checkpoint and, last, the marker of a finished run."""
        if self.present:
            return
        self.folder.begin(self.settings, overwrite=True)
        with atomic_path(self.folder.checkpoint) as temporary:
            torch.save(sealed({DESCRIPTION: self._description(), "state_dict": self._state_dict()}), temporary)
        write_json(self.folder.finished, {"predicted": 0, "scored": 0})

    def _description(self) -> dict[str, Any]:
        description = {**describe(self.networks.network), "mirror_axes": list(self.mirror_axes)}
        if self.networks.classifier:
            classifiers = {str(self.networks.decoder_stage): self.networks.classifier.settings}
            description["adaptation"] = {"dann": {"classifiers": classifiers}}
        return description

    def _state_dict(self) -> dict[str, torch.Tensor]:
        state = {f"{PREFIX}{name}": value for name, value in self.networks.network.state_dict().items()}
        if self.networks.classifier:
            classifier = self.networks.classifier.state_dict()
            prefix = f"{CLASSIFIER_PREFIX}.{self.networks.decoder_stage}."
            state |= {f"{prefix}{name}": value for name, value in classifier.items()}
        return state
