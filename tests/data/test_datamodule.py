"""Batches of the data module: their contents, and that nothing but seed and place in the run decides them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import ModelCheckpoint
from numpy.typing import NDArray

from pedseg.data import datamodule
from pedseg.data.datamodule import PatchDataModule
from pedseg.errors import PedsegError
from pedseg.labels import Region

PATCH = (12, 12, 12)
SHAPE = (20, 24, 16)


class Case:
    """A case in memory whose voxels say which case it is."""

    ignores = False

    def __init__(self, case_id: str, *, labelled: bool) -> None:
        self.shape = SHAPE
        self.labelled = labelled
        rng = np.random.default_rng(int(case_id[-1]))
        self.image = rng.standard_normal((4, *SHAPE)).astype(np.float32)
        self.label = np.zeros((3, *SHAPE), dtype=np.uint8)
        self.label[:, 5:9, 5:9, 5:9] = 1

    def check_presence(self, *, label: bool) -> None:
        assert self.labelled or not label

    def read_image(
        self, start: tuple[int, ...], size: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        brain = np.ones((1, *SHAPE), dtype=bool)
        return self._cut(self.image, start, size), self._cut(brain, start, size)

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...], *, ignored: bool = False) -> NDArray[np.uint8]:
        assert self.labelled
        return self._cut(self.label, start, size)

    def foreground(self, region: Region) -> NDArray[np.int32]:
        assert self.labelled
        return np.argwhere(self.label[list(Region).index(region)]).astype(np.int32)

    def _cut(self, volume: NDArray[Any], start: tuple[int, ...], size: tuple[int, ...]) -> NDArray[Any]:
        padded = np.pad(volume, [(0, 0)] + [(30, 30)] * 3)
        part = padded[(slice(None), *(slice(s + 30, s + 30 + n) for s, n in zip(start, size, strict=True)))]
        return np.ascontiguousarray(part)


class Store:
    """Four cases of a cohort; children have no labels."""

    def __init__(self, folder: Path) -> None:
        self.cohort = folder.name
        self.labelled = self.cohort != "ped"
        self.case_ids = tuple(f"{self.cohort}{i}" for i in range(4))

    def open(self, case_id: str) -> Case:
        return Case(case_id, labelled=self.labelled)


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamodule, "CohortStore", Store)


def make(**settings: Any) -> PatchDataModule:
    defaults: dict[str, Any] = {
        "store": Path("store"),
        "source": {"adult": ["adult0", "adult1"]},
        "source_validation": {"adult": ["adult2"]},
        "target": {"ped": ["ped0", "ped3"]},
        "patch_size": PATCH,
        "batch_size": 4,
        "steps_per_epoch": 3,
        "validation_steps": 2,
        "seed": 1,
    }
    return PatchDataModule(**{**defaults, **settings})


def on(data: PatchDataModule, *, rank: int = 0, world_size: int = 1, device: str = "cpu") -> PatchDataModule:
    """Attach what the module asks a Trainer."""
    root = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, strategy=root, training=True)  # type: ignore[assignment]
    return data


class Recorder(lightning.LightningModule):
    """Train nothing, and write down what each batch was."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[Any, ...]] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        assert batch["source"]["label"].dtype is torch.float32
        sums = [batch[side]["image"].double().sum().item() for side in batch]
        self.seen.append(("train", self.current_epoch, batch_idx, *sums))
        return self.weight.sum()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.seen.append(("val", self.current_epoch, batch_idx, batch["source"]["image"].double().sum().item()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, *, epochs: int, resume: bool = False, validated: bool = True, **settings: Any) -> list[Any]:
    if not validated:
        settings["source_validation"] = {}
    module = Recorder()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder, save_last=True)],
        log_every_n_steps=1,
    )
    trainer.fit(module, make(**settings), ckpt_path=folder / "last.ckpt" if resume else None, weights_only=True)
    return module.seen


def test_adaptation_batches() -> None:
    batches = list(make().train_dataloader())
    assert len(batches) == 3
    for batch in batches:
        assert {side: sorted(tensors) for side, tensors in batch.items()} == {
            "source": ["image", "label"],
            "target": ["image"],
        }
        assert batch["source"]["image"].shape == batch["target"]["image"].shape == (2, 4, *PATCH)
        assert batch["source"]["label"].shape == (2, 3, *PATCH)
        assert batch["source"]["label"][1].any()  # the last source sample is forced onto tumour


OPPOSED: dict[str, Any] = {"target": {}, "opposed": {"teen": ["teen0", "teen3"]}}


def test_opposed_batches_have_labels_on_both_sides() -> None:
    """And no case of one side on the other; a share of either is forced onto tumour."""
    data = make(**OPPOSED, steps_per_epoch=10, augmentation="none")
    loader = data.train_dataloader()
    volumes = {"source": ["adult0", "adult1"], "target": ["teen0", "teen3"]}
    for batch, keys in zip(loader, loader.sampler, strict=True):
        assert {side: sorted(tensors) for side, tensors in batch.items()} == {
            side: ["image", "label"] for side in volumes
        }
        assert [key.foreground for key in keys] == [False, True, False, True]
        for side, tensors in batch.items():
            assert tensors["image"].shape == (2, 4, *PATCH)
            assert tensors["label"].shape == (2, 3, *PATCH)
            assert tensors["label"][1, :, 6, 6, 6].all()  # the patch is centred on a tumour voxel
            own = [Case(name, labelled=True).image for name in volumes[side]]
            assert np.isin(tensors["image"].numpy(), [0, *np.concatenate(own).ravel()]).all()
    assert data.target_cases == []


def test_opposed_cases_are_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """They count where all cases must share a voxel size."""
    data = make(**OPPOSED)
    monkeypatch.setattr(
        Store, "open", lambda _, name: SimpleNamespace(spacing_mm=(1.0, 1.0, 2.0 if name == "teen3" else 1.0))
    )
    with pytest.raises(PedsegError, match="teen3 has voxels of"):
        _ = data.spacing_mm


def test_supervised_batches_mix_cohorts() -> None:
    data = make(source={"adult": ["adult0"], "teen": ["teen0"]}, target={}, steps_per_epoch=20, augmentation="none")
    batches = list(data.train_dataloader())
    assert all(list(batch) == ["source"] for batch in batches)
    assert all(batch["source"]["image"].shape[0] == 4 for batch in batches)
    assert {reference[0].cohort for reference in data.source_cases} == {"adult", "teen"}


def test_odd_batches_alternate_and_leave_an_empty_side_out() -> None:
    sizes = [[len(side["image"]) for side in batch.values()] for batch in make(batch_size=3).train_dataloader()]
    assert sizes == [[2, 1], [1, 2], [2, 1]]
    assert [list(batch) for batch in make(batch_size=1).train_dataloader()] == [["source"], ["target"], ["source"]]


def test_validation_batches_are_plain_and_new_every_epoch() -> None:
    loader = make().val_dataloader()
    assert not isinstance(loader, list)
    first = list(loader)
    assert len(first) == 2
    assert first[0]["source"]["image"].shape == (4, 4, *PATCH)
    volume = Case("adult2", labelled=True).image
    assert np.isin(first[0]["source"]["image"].numpy(), volume).all()
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    assert not torch.equal(next(iter(loader))["source"]["image"], first[0]["source"]["image"])
    assert make(source_validation={}).val_dataloader() == []
    assert make(validation_steps=0).val_dataloader() == []


@pytest.mark.parametrize("sides", [{}, {"target": {}}, OPPOSED], ids=["adaptation", "supervised", "opposed"])
def test_two_processes_draw_what_one_draws(sides: dict[str, Any]) -> None:
    whole = on(make(**sides, batch_size=8)).train_dataloader()
    parts = [on(make(**sides), rank=r, world_size=2).train_dataloader() for r in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for side, tensors in batch.items():
            for name, value in tensors.items():
                assert torch.equal(value, torch.cat([share[side][name] for share in shares]))


def test_workers_draw_what_the_process_itself_draws() -> None:
    for alone, worked in zip(make().train_dataloader(), make(num_workers=2).train_dataloader(), strict=True):
        for side, tensors in alone.items():
            assert all(torch.equal(value, worked[side][name]) for name, value in tensors.items())


def test_augmentation_may_wait_for_the_training_device() -> None:
    plain = next(iter(on(make()).train_dataloader()))
    data = on(make(), device="cuda")
    loader = data.train_dataloader()
    packed = loader.collate_fn(loader.dataset[next(iter(loader.sampler))])
    packed = move_data_to_device(packed, torch.device("cpu"))  # as Lightning does
    assert isinstance(packed["source"], list)
    finished = data.on_after_batch_transfer(packed, 0)
    for side, tensors in plain.items():
        for name, value in tensors.items():
            assert torch.equal(finished[side][name], value.float())


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_draws_what_an_uninterrupted_one_draws(tmp_path: Path, workers: int, validated: bool) -> None:
    whole = fit(tmp_path / "whole", epochs=3, validated=validated)
    start = fit(tmp_path / "parts", epochs=1, validated=validated, num_workers=workers)
    rest = fit(tmp_path / "parts", epochs=3, resume=True, validated=validated, num_workers=workers)
    assert len({entry[3:] for entry in whole}) == len(whole)
    assert start + rest == whole


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": {}}, "no source case"),
        ({"source": {"adult": []}}, "no source case"),
        ({"source": {"adult": ["adult9"]}}, "'adult' in store has no case adult9"),
        ({"target": {"ped": ["ped9"]}}, "has no case ped9"),
        ({"source": {"ped": ["ped0"]}}, "prepared without labels"),
        ({"source_validation": {"ped": ["ped0"]}}, "prepared without labels"),
        ({"target": {}, "opposed": {"ped": ["ped0"]}}, "prepared without labels"),
        ({"target": {}, "opposed": {"teen": ["teen9"]}}, "has no case teen9"),
        ({"opposed": {"teen": ["teen0"]}}, r"opposed cohorts \(teen\) take the place of a target"),
        ({**OPPOSED, "source": {}}, "no source case"),
        ({"patch_size": (12, 12)}, "three positive numbers"),
        ({"batch_size": 0}, "batch_size 0 must be at least 1"),
        ({"seed": -1}, "seed -1 must not be negative"),
        ({"foreground_fraction": 1.5}, "must lie in 0-1"),
        ({"augmentation": "heavy"}, "'heavy' is unknown"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_mistakes_are_refused_before_training(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        make(**settings)
