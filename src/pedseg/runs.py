"""A run folder: what lies in it, whether it may be written to, and whether there is something to continue.

``runs/<experiment>/[<overrides>/]fold_<k>/`` holds config.json, checkpoints/last.ckpt, metrics.csv,
predictions/<case>.nii.gz and scores.csv. Post-processing adds postprocessed/<rule set>/ with label maps and scores, and
source_validation/<cohort>/ with the predictions that a rule was chosen on; the choice, made over all folds, is
postprocessing.json beside them. Validation adds validators.json and validators.npz.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.errors import PedsegError
from pedseg.files import write_json

if TYPE_CHECKING:  # names of files are known without settings
    from pedseg.settings.stored import Stored


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of what a run writes.

    Attributes:
        path: the folder itself.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.json"

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint, the one that is used for inference (nnU-Net's choice)."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def log(self) -> Path:
        """What the training has said."""
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        """Training curves, a row per logged step."""
        return self.path / "metrics.csv"

    @property
    def predictions(self) -> Path:
        """Label maps of the evaluated cases."""
        return self.path / "predictions"

    @property
    def scores(self) -> Path:
        """Scores of the evaluated cases, a row per case and region."""
        return self.path / "scores.csv"

    @property
    def postprocessed(self) -> Path:
        """A folder for each rule set of post-processing: label maps, rules.json and scores.csv."""
        return self.path / "postprocessed"

    @property
    def source_validation(self) -> Path:
        """Label maps of held-out source cases, a folder for each cohort."""
        return self.path / "source_validation"

    @property
    def choice(self) -> Path:
        """Post-processing chosen over all folds of the experiment, beside them."""
        return self.path.parent / "postprocessing.json"

    @property
    def validators(self) -> Path:
        """Label-free scores of the last checkpoint."""
        return self.path / "validators.json"

    @property
    def target_masks(self) -> Path:
        """Masks of the target cases that the label-free scores were made on, for comparisons with other runs."""
        return self.path / "validators.npz"

    @property
    def finished(self) -> Path:
        """Marker, written last."""
        return self.path / "finished.json"

    def begin(self, settings: "Stored", *, overwrite: bool) -> None:
        """Claim the folder for a run with these settings.

        A folder that holds the same run is continued. Only rank 0 may call this.

        Raises:
            PedsegError: the folder holds a run with other settings.
        """
        self.check(settings, overwrite=overwrite)
        if overwrite:
            self._clear()
        write_json(self.config, settings.as_json())

    def check(self, settings: "Stored", *, overwrite: bool) -> None:
        """Whether `begin` may claim the folder; nothing is written.

        Raises:
            PedsegError: as `begin`.
        """
        if overwrite:
            return
        if self.config.exists():
            self._refuse_other_settings(settings)
        elif self.checkpoint.exists() or self.metrics.exists():
            raise PedsegError(f"{self.path} holds a run without config.json; move it away or give overwrite=true")

    def _clear(self) -> None:
        for path in (self.config, self.finished, self.metrics, self.scores, self.validators, self.target_masks):
            path.unlink(missing_ok=True)
        (self.path / "wandb_id").unlink(missing_ok=True)
        for name in ("checkpoints", "predictions", "postprocessed", "source_validation", "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _refuse_other_settings(self, settings: "Stored") -> None:
        from pedseg.settings.names import deciding
        from pedseg.settings.stored import read_stored

        before, now = deciding(read_stored(self.path)), deciding(settings)
        changed = [
            f"  {key}: was {before.get(key, 'not set')!r}, now {now.get(key, 'not set')!r}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key, None) != now.get(key, None)
        ]
        if changed:
            raise PedsegError(
                f"{self.path} holds a run with other settings:\n"
                + "\n".join(changed)
                + "\nGive the same settings to continue it, another paths.runs to keep both, or overwrite=true."
            )


def checkpoints_of(run: Path) -> list[Path]:
    """Last checkpoint of a run folder, or of each ``fold_*`` in a folder of runs.

    Raises:
        PedsegError: there is none.
    """
    folds = [fold for fold in sorted(run.glob("fold_*")) if fold.is_dir()]
    found = [folder.checkpoint for folder in map(RunFolder, [run, *folds]) if folder.checkpoint.is_file()]
    if not found:
        raise PedsegError(f"{run}: no checkpoints/last.ckpt in it or in a fold_* of it; give a trained run's folder")
    return found


def required_checkpoint(run: Path, *, command: str | None = None) -> Path:
    """Path of the checkpoint of the run that another one starts from.

    Args:
        run: its folder.
        command: what makes or continues it, if that is known.

    Raises:
        PedsegError: that run is absent or not finished; the message gives the command.
    """
    folder = RunFolder(run)
    if not folder.finished.exists() or not folder.checkpoint.exists():
        state = "is not finished" if folder.checkpoint.exists() else "is missing"
        advice = f"First run\n  {command}" if command else "Give the folder of a finished run: runs/NAME/fold_0"
        raise PedsegError(f"{run} {state}, and this run starts from its weights. {advice}")
    return folder.checkpoint


def trained_on_labels(settings: "Stored", cohort: str) -> bool:
    """Whether a run, or one whose weights it started from, has trained on labels of a cohort."""
    from pedseg.settings.run import RunSettings
    from pedseg.settings.stored import read_stored

    if cohort in settings.data.labelled_source:
        return True
    origin = settings.init.run if isinstance(settings, RunSettings) else None
    before = RunFolder(origin) if origin else None
    return before is not None and before.config.exists() and trained_on_labels(read_stored(before.path), cohort)
