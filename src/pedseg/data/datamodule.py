"""Training and validation patches for Lightning."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from torch.utils.data import DataLoader

from pedseg.data.augmentation import Augmentation, Collate, augment_sides
from pedseg.data.datasets import CaseReference, LabelledPatches, PatchDataset, PatchReader, UnlabelledPatches
from pedseg.data.sampling import PatchSampler, Stream
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from pedseg.signals import ignore_stops

SPACING_TOLERANCE = 0.01


class EpochLoader(DataLoader[Any]):
    """Loader that starts to read when its first batch is asked for, not when it is iterated.

    When a run is resumed, Lightning creates the iterator before it tells the sampler its epoch; workers would already
    have read the wrong batches.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        yield from super().__iter__()


class PatchDataModule(lightning.LightningDataModule):
    """Batches ``{"source": {"image", "label"}, "target": {"image"}}`` of augmented patches, balanced by domain.

    Images are (n, 4, *patch) float32, labels (n, 3, *patch) masks of WT, TC, ET: bool from the loader, float32 once
    Lightning has moved the batch. Where any labelled case has ignored voxels, every label has a fourth mask of these;
    no forced patch is centred on one, and what pads a patch is background and not ignored. Cases are drawn uniformly
    over all cohorts of a side. A side without samples is left out of a batch. Every sample is a function of the seed
    and its place in the run (see `sampling`), so batches do not depend on workers, on a resume, or (for an even batch
    size) on how many processes share the global batch.

    `opposed` cases make a second side with labels, ``"target": {"image", "label"}``, for supervised controls; cases of
    `target` never have any.

    Validation patches come from labelled cases only, without augmentation, new ones every epoch as in nnU-Net, and
    drawn by the same rule.

    The Trainer needs ``use_distributed_sampler=False``: the sampler here knows the processes.

    Args:
        store: folder of the prepared cohorts.
        source: cohort → ids of labelled training cases.
        source_validation: cohort → ids of labelled validation cases; may be empty.
        target: cohort → ids of unlabelled training cases; empty for supervised training.
        patch_size: voxels per axis (z, y, x).
        batch_size: samples per process, both sides together.
        steps_per_epoch: training batches per epoch.
        validation_steps: validation batches per epoch.
        seed: of the run, not negative.
        augmentation: "nnunet" or "none".
        num_workers: loader processes; 0 reads in the training process.
        foreground_fraction: share of labelled patches forced onto tumour (rounded as nnU-Net does).
        multiprocessing_context: how workers start; None is the platform's default.
        opposed: cohort → ids of labelled training cases that fill the second side in place of a target.
        drop_modality: probability that a sequence of a training sample is left out (0 in its channel).

    Raises:
        PedsegError: an empty source, opposed cases beside a target, an unknown case or one whose files are missing, a
            source cohort without labels, or a value out of range.
    """

    def __init__(
        self,
        *,
        store: Path,
        source: Mapping[str, Sequence[str]],
        source_validation: Mapping[str, Sequence[str]],
        target: Mapping[str, Sequence[str]],
        patch_size: Sequence[int],
        batch_size: int,
        steps_per_epoch: int,
        validation_steps: int,
        seed: int,
        augmentation: Literal["nnunet", "none"] = "nnunet",
        num_workers: int = 0,
        foreground_fraction: float = 0.33,
        multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = None,
        opposed: Mapping[str, Sequence[str]] | None = None,
        drop_modality: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch_size = tuple(patch_size)
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.validation_steps = validation_steps
        self.seed = seed
        self.augmentation = augmentation
        self.num_workers = num_workers
        self.foreground_fraction = foreground_fraction
        self.drop_modality = drop_modality
        self.multiprocessing_context = multiprocessing_context
        self._check_values()
        stores: dict[str, CohortStore] = {}
        self.source_cases = _find_cases(Path(store), source, stores, labelled=True)
        self.validation_cases = _find_cases(Path(store), source_validation, stores, labelled=True)
        self.target_cases = _find_cases(Path(store), target, stores, labelled=False)
        self.opposed_cases = _find_cases(Path(store), opposed or {}, stores, labelled=True)
        if self.target_cases and self.opposed_cases:
            raise PedsegError(
                f"opposed cohorts ({', '.join(opposed or {})}) take the place of a target; give one of them"
            )
        labelled_cases = [*self.source_cases, *self.validation_cases, *self.opposed_cases]
        self.ignored = any(store.open(case_id).ignores for store, case_id in labelled_cases)
        if not self.source_cases:
            raise PedsegError("there is no source case to train on; name at least one labelled cohort with cases")

    def _check_values(self) -> None:
        if len(self.patch_size) != 3 or min(self.patch_size) < 1:  # noqa: PLR2004 (three axes)
            raise PedsegError(f"patch_size {self.patch_size} must be three positive numbers of voxels (z, y, x)")
        for name in ("batch_size", "steps_per_epoch"):
            if getattr(self, name) < 1:
                raise PedsegError(f"{name} {getattr(self, name)} must be at least 1")
        for name in ("validation_steps", "seed", "num_workers"):
            if getattr(self, name) < 0:
                raise PedsegError(f"{name} {getattr(self, name)} must not be negative")
        for name in ("foreground_fraction", "drop_modality"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise PedsegError(f"{name} {getattr(self, name)} must lie in 0-1")
        if self.augmentation not in {"nnunet", "none"}:
            raise PedsegError(f"augmentation {self.augmentation!r} is unknown; use nnunet or none")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) that all training cases share.

        Raises:
            PedsegError: two cases differ by more than 1 %.
        """
        first: tuple[float, float, float] | None = None
        for store, case_id in (*self.source_cases, *self.target_cases, *self.opposed_cases):
            spacing = store.open(case_id).spacing_mm
            first = first or spacing
            if any(abs(a - b) > SPACING_TOLERANCE * b for a, b in zip(spacing, first, strict=True)):
                raise PedsegError(
                    f"case {case_id} has voxels of {spacing} mm, others of {first} mm; "
                    f"prepare the cohorts with one voxel size, data.spacing_mm={list(first)}"
                )
        assert first is not None  # noqa: S101  (an empty source is refused)
        return first

    def train_dataloader(self) -> EpochLoader:
        """Batches of one epoch for this process."""
        transform = self.augmentation != "none"
        drawn: dict[str, Any] = {"patch_size": self.patch_size, "seed": self.seed, "transform": transform}
        source = LabelledPatches(self.source_cases, **drawn, ignored=self.ignored)
        readers: dict[Domain, PatchReader] = {Domain.SOURCE: source}
        if self.target_cases:
            readers[Domain.TARGET] = UnlabelledPatches(self.target_cases, **drawn)
        elif self.opposed_cases:
            readers[Domain.TARGET] = LabelledPatches(self.opposed_cases, **drawn, ignored=self.ignored)
        labelled = [side for side, reader in readers.items() if isinstance(reader, LabelledPatches)]
        sampler = self._sampler(steps=self.steps_per_epoch, adapt=len(readers) > 1, labelled=labelled)
        return self._loader(readers, sampler, self._chain(training=True))

    def val_dataloader(self) -> EpochLoader | list[Any]:
        """Source validation patches of one epoch for this process; empty without validation cases."""
        if not self.validation_cases or self.validation_steps == 0:
            return []
        reader = LabelledPatches(
            self.validation_cases,
            patch_size=self.patch_size,
            seed=self.seed,
            stream=Stream.VALIDATION_PATCH,
            transform=False,
            ignored=self.ignored,
        )
        sampler = self._sampler(steps=self.validation_steps, adapt=False)
        return self._loader({Domain.SOURCE: reader}, sampler, self._chain(training=False))

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Finish a batch on the training device: the augmentation, if it was left to it, and float labels."""
        del dataloader_idx
        if any(isinstance(side, list) for side in batch.values()):
            batch = augment_sides(batch, self._chain(training=self._is_training()))
        return {
            side: {name: value.float() if name == "label" else value for name, value in tensors.items()}
            for side, tensors in batch.items()
        }

    def _is_training(self) -> bool:
        return self.trainer is not None and self.trainer.training

    def _chain(self, *, training: bool) -> Augmentation:
        enabled = training and self.augmentation != "none"
        dropping = self.drop_modality if training else 0.0
        return Augmentation(patch_size=self.patch_size, seed=self.seed, enabled=enabled, drop_modality=dropping)

    def _sampler(self, *, steps: int, adapt: bool, labelled: Sequence[Domain] = (Domain.SOURCE,)) -> PatchSampler:
        return PatchSampler(
            batch_size=self.batch_size,
            steps=steps,
            adapt=adapt,
            foreground_fraction=self.foreground_fraction,
            labelled=labelled,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
        )

    def _loader(self, readers: Mapping[Domain, PatchReader], sampler: PatchSampler, chain: Augmentation) -> EpochLoader:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        workers = self.num_workers
        return EpochLoader(
            PatchDataset(readers),
            sampler=sampler,
            batch_size=None,  # the sampler yields the keys of whole batches
            collate_fn=Collate(None if on_gpu else chain),
            num_workers=workers,
            worker_init_fn=_start_worker if workers else None,
            persistent_workers=workers > 0,
            pin_memory=on_gpu,
            multiprocessing_context=self.multiprocessing_context if workers else None,
        )


def _start_worker(worker: int) -> None:
    """Keep a worker to one thread, for the workers are the parallelism, and leave stopping to the training process."""
    del worker
    torch.set_num_threads(1)
    ignore_stops()


def _find_cases(
    folder: Path, cohorts: Mapping[str, Sequence[str]], stores: dict[str, CohortStore], *, labelled: bool
) -> list[CaseReference]:
    """Look the cases up in their stores, opening each cohort once, and see that the files they need are there."""
    references: list[CaseReference] = []
    for cohort, ids in cohorts.items():
        if not ids:
            continue
        if cohort not in stores:
            stores[cohort] = CohortStore(folder / cohort)
        store = stores[cohort]
        if labelled and not store.labelled:
            raise PedsegError(
                f"cohort {cohort!r} in {folder} was prepared without labels and cannot be a source; use it as target, "
                "or prepare it again as a labelled cohort"
            )
        unknown = sorted(set(ids) - set(store.case_ids))
        if unknown:
            raise PedsegError(
                f"cohort {cohort!r} in {folder} has no case {', '.join(unknown[:5])}"
                f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}; prepare these cases, "  # noqa: PLR2004
                "or use folds made from this store"
            )
        for case_id in ids:
            store.open(case_id).check_presence(label=labelled)
        references.extend((store, case_id) for case_id in ids)
    return references
