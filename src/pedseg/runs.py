"""A run folder: what lies in it, whether it may be written to, and whether there is something to continue.

``runs/<experiment>/[<overrides>/]fold_<k>/`` holds config.json, checkpoints/last.ckpt and metrics.csv; and for each
variant, a way in which its network has been predicted, ``predictions/<variant>/``: its settings (variant.json), label
maps and what made them, thresholds.json and sensitivity.csv where it is calibrated, rules.json where it clears up
another's label maps, and scores.csv. Rules that are chosen leave source_validation/<cohort>/ with the predictions that
they were chosen on; a choice made over all folds is postprocessing.json beside them. Validation adds validators.json,
validators.npz and reliability.csv with its figure to a variant.

Runs of before variants have the label maps of their one prediction in ``predictions``, what belongs to it at the top,
and label maps after rules in ``postprocessed/<rules>``. They are read as they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.errors import PedsegError
from pedseg.files import read_json, read_text, safe_name, write_json
from pedseg.ownership import check_places, clear, is_recorded, name_left, note, refuse_foreign

if TYPE_CHECKING:  # names of files are known without settings
    from pedseg.settings.stored import Stored
    from pedseg.settings.variants import Variant

PLAIN = "plain"  # as pedseg.settings.variants has it
POSTPROCESSED = "postprocessed"
RECORD = "predictions.json"  # as pedseg.inference.settings has it
MADE = ("variant.json", "scores.csv", "rules.json", "validators.json")  # one of these tells a variant
RELIABILITY = ("reliability.csv", "reliability.svg", "reliability.pdf", "reliability.png")
OF_A_VARIANT = (
    *MADE, "validators.npz", *RELIABILITY, "thresholds.json", "sensitivity.csv", RECORD, "finished.json",
)  # fmt: skip
ENDED = "ended.json"
OF_A_RUN = (
    "checkpoints/last.ckpt", "config.json", ENDED, "finished.json", "metrics.csv", "train.log", "wandb_id", "mlflow_id",
)  # fmt: skip
BEFORE_VARIANTS = ("scores.csv", "validators.json", "validators.npz", f"predictions/{RECORD}")
TRACKED = ("tensorboard/hparams.yaml", "wandb/latest-run", "wandb/debug.log", "wandb/debug-internal.log")
BETWEEN = " · "  # of a run's name and a variant's


@dataclass(frozen=True, slots=True)
class VariantFolder:
    """Names of what one way to predict a run's network writes.

    Attributes:
        run: folder of the run.
        name: of the variant.
        path: folder of its label maps.
        top: folder of the rest; the same but for runs of before variants.
    """

    run: Path
    name: str
    path: Path
    top: Path

    @property
    def settings(self) -> Path:
        """Its settings."""
        return self.top / "variant.json"

    @property
    def thresholds(self) -> Path:
        """Thresholds of its logits, and what they were found on."""
        return self.path / "thresholds.json"

    @property
    def sensitivity(self) -> Path:
        """What would have come of other shares than those that its thresholds give."""
        return self.path / "sensitivity.csv"

    @property
    def scores(self) -> Path:
        """Scores of the evaluated cases, a row per case and region."""
        return self.top / "scores.csv"

    @property
    def validators(self) -> Path:
        """Label-free scores."""
        return self.top / "validators.json"

    @property
    def target_masks(self) -> Path:
        """Masks of the target cases that the label-free scores were made on, for comparisons with others."""
        return self.top / "validators.npz"

    @property
    def reliability(self) -> Path:
        """Whether probabilities mean what they say, on held-out source cases; its other files are named alike."""
        return self.top / "reliability.csv"

    @property
    def finished(self) -> Path:
        """Marker, written last."""
        return self.top / "finished.json"

    def begin(self, settings: "Variant", label_maps: Iterable[str] = ()) -> None:
        """Write the settings, and list what will be written beside them, with label maps of these cases."""
        note(self.path, [*OF_A_VARIANT, *_label_maps(label_maps)])
        write_json(self.settings, settings.as_json())

    def check(self, label_maps: Iterable[str], *, anew: bool = False) -> None:
        """Refuse to write over files that are not pedseg's.

        Args:
            label_maps: cases of which some will be written.
            anew: whether nothing that is there is gone on with, not even from before files were listed.

        Raises:
            PedsegError: there is one.
        """
        if anew or is_recorded(self.path) or not (self.path / RECORD).exists():
            refuse_foreign(self.path, [*OF_A_VARIANT, *_label_maps(label_maps)])

    def how(self) -> "Variant | None":
        """How it predicts, as it was told; None if nobody knows.

        Raises:
            PedsegError: what tells it is damaged.
        """
        from pedseg.settings.run import RunSettings
        from pedseg.settings.stored import read_stored, read_variant
        from pedseg.settings.variants import Variant

        if self.settings.exists():
            return read_variant(self.settings)
        if self.path.parent.name == POSTPROCESSED:
            return Variant.model_validate({"rules": self.name, "of": RunFolder(self.run).before()})
        stored = read_stored(self.run) if RunFolder(self.run).config.exists() else None
        known = stored.variant if isinstance(stored, RunSettings) else {}
        return known.get(self.name) or (Variant() if self.name == PLAIN else None)


def _label_maps(cases: Iterable[str]) -> list[str]:
    return [f"{safe_name(case)}.nii.gz" for case in cases]


def titled(name: str, variant: str) -> str:
    """Name of a run's variant in tables; that of the run alone for the plain one."""
    return name if variant == PLAIN else f"{name}{BETWEEN}{variant}"


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
        """A folder for each variant."""
        return self.path / "predictions"

    @property
    def written(self) -> tuple[str, ...]:
        """Patterns of the folders in it that files are written into."""
        return ("checkpoints", "predictions", "predictions/*", "source_validation/*", "postprocessed/*")

    def before(self) -> str | None:
        """Name of the one variant of a run of before variants, whose label maps lie in `predictions` itself."""
        from pedseg.settings.history import only_variant

        at_the_top = (self.path / "scores.csv", self.path / "validators.json")
        if not any(path.exists() for path in (*at_the_top, self.predictions / RECORD)):
            return None
        config = read_json(self.config) if self.config.exists() else {}
        known = isinstance(config, dict) and "variant" not in config
        return only_variant(config)[0] if known else PLAIN

    def variant(self, name: str) -> VariantFolder:
        """Where a variant lies, or would."""
        if name == self.before():
            return VariantFolder(self.path, name, self.predictions, self.path)
        own, cleared = self.predictions / name, self.path / POSTPROCESSED / name
        place = cleared if cleared.is_dir() and not own.is_dir() else own
        return VariantFolder(self.path, name, place, place)

    def variants(self) -> list[VariantFolder]:
        """The variants that there are, the plain one first."""
        before = self.before()
        folders = [path for at in (self.predictions, self.path / POSTPROCESSED) for path in at.glob("*/")]
        names = {path.name for path in folders if any((path / made).exists() for made in MADE)}
        names |= {before} if before else set()
        return [self.variant(name) for name in sorted(names, key=lambda name: (name != PLAIN, name))]

    @property
    def source_validation(self) -> Path:
        """Label maps of held-out source cases, a folder for each cohort."""
        return self.path / "source_validation"

    @property
    def choice(self) -> Path:
        """Post-processing chosen over all folds of the experiment, beside them."""
        return self.path.parent / "postprocessing.json"

    @property
    def finished(self) -> Path:
        """Marker, written last."""
        return self.path / "finished.json"

    @property
    def ended(self) -> Path:
        """How the last command that trained the run has ended, if not well."""
        return self.path / ENDED

    def begin(self, settings: "Stored", *, overwrite: bool) -> None:
        """Claim the folder for a run with these settings.

        A folder that holds the same run is continued. Only rank 0 may call this.

        Raises:
            PedsegError: the folder holds a run with other settings.
        """
        self.check(settings, overwrite=overwrite)
        if overwrite:
            self._clear()
        note(self.path, OF_A_RUN)
        write_json(self.config, settings.as_json())

    def check(self, settings: "Stored", *, overwrite: bool) -> None:
        """Whether `begin` may claim the folder; nothing is written.

        Raises:
            PedsegError: as `begin`.
        """
        check_places(self.path, OF_A_RUN)
        if overwrite:
            self._check_own()
        elif self.config.exists():
            self._refuse_other_settings(settings)
        elif self.checkpoint.exists() or self.metrics.exists():
            raise PedsegError(f"{self.path} holds a run without config.json; move it away, or give overwrite=true")

    def _check_own(self) -> None:
        """Refuse to replace what is no run.

        Raises:
            PedsegError: its config.json, or a checkpoint or curves without one, is not of a run.
        """
        from pedseg.settings.stored import read_stored

        if self.config.exists():
            read_stored(self.path)
        else:
            refuse_foreign(self.path, OF_A_RUN)

    def _clear(self) -> None:
        """Remove what the run has written; what else there is stays, and is named."""
        tracked = self.path / "wandb_id"
        key = read_text(tracked).strip() if tracked.exists() else ""
        known = self.path.glob(f"wandb/*-{key}") if key.isalnum() else ()
        folders = [f"{path.relative_to(self.path).as_posix()}/" for path in known]
        before = BEFORE_VARIANTS if self.before() else ()
        for pattern in ("predictions/*/", "source_validation/*/", f"{POSTPROCESSED}/*/"):
            for folder in self.path.glob(pattern):
                if is_recorded(folder):
                    clear(folder)
        events = [
            path.relative_to(self.path).as_posix() for path in self.path.glob("tensorboard/events.out.tfevents.*")
        ]
        clear(self.path, also=[*OF_A_RUN, *before, *TRACKED, *events, *folders])
        name_left(self.path)

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


def how_it_predicts(place: VariantFolder) -> "Variant":
    """Settings of a variant that is a prediction, not a clearing up of one.

    Raises:
        PedsegError: it is none, or the run has no such variant.
    """
    how = place.how()
    if how is None:
        known = ", ".join(one.name for one in RunFolder(place.run).variants()) or "none"
        raise PedsegError(
            f"{place.run}: has no variant {place.name}, there is {known}; make it first: pedseg predict --run "
            f"{place.run} --variant {place.name}"
        )
    if how.rules:
        raise PedsegError(
            f"{place.run}: variant {place.name} clears up the label maps of {how.of} and is no prediction; predict "
            f"with --variant {how.of}, then pedseg postprocess --predictions DIR --rules {how.rules}"
        )
    return how
