"""Features of both domains: means over brain voxels by another path, and what the projection keeps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.commands import benchmark, train
from pedseg.commands.prepare import main as prepare
from pedseg.errors import PedsegError
from pedseg.gap.embedding import STAGE, WINDOWS, Embedding, embed, stage_features
from pedseg.gap.embedding_figure import embedding_data, embedding_figure
from pedseg.inference import Predictor
from pedseg.inference.checkpoint import LoadedNetwork
from pedseg.networks import UNet
from pedseg.phantom.__main__ import main as make
from pedseg.reporting.figures.style import save
from tests.networks.small import small

PATCH = (16, 16, 16)
SPACING = (4.0, 4.0, 4.0)
SHAPE = (20, 24, 22)


class FakeCase:
    """A case of the store that holds one ball of brain and has no label."""

    def __init__(self, name: str) -> None:
        self.id, self.folder, self.shape, self.spacing_mm = name, Path(name), SHAPE, SPACING
        distance = np.linalg.norm(np.stack([g - n / 2 for g, n in zip(np.indices(SHAPE), SHAPE, strict=True)]), axis=0)
        self.brain = distance < 8
        noise = np.random.default_rng([*name.encode()]).normal(size=(4, *SHAPE))
        self.image = (noise * self.brain).astype(np.float32)
        self.read: list[tuple[int, ...]] = []

    def read_image(self, start: Any, size: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        self.read.append(tuple(int(n) for n in start))
        both = np.concatenate([self.image, self.brain[None]])
        padded = np.pad(both, [(0, 0), *[(n, n) for n in PATCH]])
        window = tuple(slice(int(s) + p, int(s) + p + n) for s, p, n in zip(start, PATCH, size, strict=True))
        part = padded[:, *window]
        return part[:4].astype(np.float32), part[4:].astype(bool)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A small network with random weights."""
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, spacing_mm=SPACING, base_features=4, max_features=16).eval()
    loaded = LoadedNetwork(network, PATCH, SPACING, "none")
    return Predictor([Path("none")], device=torch.device("cpu"), load=lambda _: loaded)


def cases(*names: str) -> Any:
    return [FakeCase(name) for name in names]


def test_features_by_another_path(predictor: Predictor) -> None:
    """Window by window, with the part of brain in each voxel of the stage counted by hand."""
    (case,) = cases("one")
    found = stage_features(predictor, [case], seed=3)
    starts = case.read[1:]
    assert len(starts) == WINDOWS
    total, weights = 0.0, 0.0
    network: Any = predictor.networks[0]
    for start in starts:
        image, mask = case.read_image(start, PATCH)
        with torch.inference_mode():
            stage = network.forward_features(torch.from_numpy(image)[None]).decoder[STAGE][0].numpy()
        assert stage.shape[1:] == (8, 8, 8)
        part = mask[0].reshape(8, 2, 8, 2, 8, 2).mean(axis=(1, 3, 5))
        total, weights = total + (stage * part).sum(axis=(1, 2, 3)), weights + part.sum()
    np.testing.assert_allclose(found[0], total / weights, rtol=1e-4)
    assert all(case.brain[tuple(s + n // 2 for s, n in zip(start, PATCH, strict=True))] for start in starts)


def test_windows_are_the_same_for_every_network(predictor: Predictor) -> None:
    one, again, other = cases("one", "one", "one")
    first = stage_features(predictor, [one], seed=0)
    np.testing.assert_array_equal(first, stage_features(predictor, [again], seed=0))
    assert not np.array_equal(first, stage_features(predictor, [other], seed=1))
    assert one.read == again.read


def test_the_only_stage_is_read_where_there_is_one() -> None:
    network = small("segresnet", patch=PATCH, spacing=SPACING, max_features=8).eval()
    assert len(network.decoder) == 1
    loaded = LoadedNetwork(network, PATCH, SPACING, "none")
    predictor = Predictor([Path("none")], device=torch.device("cpu"), load=lambda _: loaded)
    assert stage_features(predictor, cases("one", "two")).shape == (2, 4)


def test_what_is_outside_the_brain_counts_nothing() -> None:
    """A stage that is 1 in the brain and 7 outside has a mean of 1."""
    stage = [SimpleNamespace(), SimpleNamespace()]

    def features(x: torch.Tensor) -> SimpleNamespace:
        brain = (x != 0).any(1, keepdim=True)
        return SimpleNamespace(decoder=[torch.where(brain, 1.0, 7.0), *stage[:1]])

    network = SimpleNamespace(forward_features=features)
    fake: Any = SimpleNamespace(networks=[network], patch_size=PATCH, device=torch.device("cpu"))
    fake.check_spacing = lambda *_: None
    np.testing.assert_allclose(stage_features(fake, cases("one", "two")), 1.0)


def test_other_voxels_are_refused(predictor: Predictor) -> None:
    (case,) = cases("one")
    case.spacing_mm = (1.0, 1.0, 1.0)
    with pytest.raises(PedsegError, match="prepared at"):
        stage_features(predictor, [case])


def test_distances_are_in_units_of_a_domain() -> None:
    """Two domains 6 standard deviations apart on one axis of many; a probe tells them."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(200, 2)), rng.normal(size=(200, 2))
    target[:, 0] += 6
    found = embed("apart", source * [1, 2], target * [1, 2])  # the unit of a channel has no say
    distance = np.linalg.norm(found.source.mean(axis=0) - found.target.mean(axis=0))
    within = np.mean([part.var(axis=0, ddof=1).mean() for part in (found.source, found.target)])
    assert within == pytest.approx(1.0)
    # Standardising divides the first channel by √(1 + 3²): its spread within a domain is 1 / √10 of the other's.
    assert distance == pytest.approx(6 / np.sqrt(10) / np.sqrt((1 / 10 + 1) / 2), rel=0.1)
    assert found.accuracy > 0.98
    same = embed("together", rng.normal(size=(200, 2)), rng.normal(size=(200, 2)))
    assert same.accuracy == pytest.approx(0.5, abs=0.08)
    assert np.linalg.norm(same.source.mean(axis=0) - same.target.mean(axis=0)) < 0.4


def test_a_constant_network_and_too_few_cases() -> None:
    found = embed("constant", np.ones((3, 4)), np.ones((3, 4)))
    assert not found.source.any()
    assert found.accuracy == 0.5
    with pytest.raises(PedsegError, match="1 source and 3 target"):
        embed("few", np.ones((1, 4)), np.ones((3, 4)))


def test_the_figure(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    embeddings = [Embedding(n, rng.normal(size=(5, 2)), rng.normal(size=(6, 2)) + 9, 0.75) for n in ("1* a", "uda")]
    figure = embedding_figure(embeddings, title="Features (SYNTHETIC data)")
    axes = figure.get_axes()
    assert [axis.get_title() for axis in axes] == ["1* a\nprobe 0.75", "uda\nprobe 0.75"]
    assert len({axis.get_xlim() for axis in axes} | {axis.get_ylim() for axis in axes}) == 1
    picture = save(figure, tmp_path / "embedding", caption="x", data=embedding_data(embeddings))
    assert picture.svg.stat().st_size > 5_000
    assert picture.data is not None
    assert dict(picture.data.groupby(["model", "domain"]).size()) == {
        (name, domain): number for name in ("1* a", "uda") for domain, number in (("source", 5), ("target", 6))
    }


@pytest.mark.slow
def test_the_command_draws_trained_runs(tmp_path: Path) -> None:
    """Three toy runs that are scored on children of their own cohort; the labels of the test children are gone."""
    world = tmp_path / "the world"
    toy = ["--output", str(world), "--children", "6", "--spacing", "8", "--workers", "1"]
    assert make([*toy, "--adults", "0", "--first", "6"]) == 0
    (world / "ped").rename(world / "test")
    assert make([*toy, "--adults", "10"]) == 0
    paths = [f"paths.{name}='{world / name}'" for name in ("adult", "ped", "store")]
    paths.append(f"+data.cohorts.ped_test={{folder:'{world / 'test'}',labelled:true,convention:brats2023}}")
    assert prepare(["scale=toy", *paths, "workers=1"]) == 0
    for experiment in ("m1_adult_fold", "m3_mixed_nods", "uda"):
        where = f"run_dir='{tmp_path / 'runs' / 'seed_0' / experiment / 'fold_0'}'"
        quick = ["trainer.enable_progress_bar=false", "prediction.mirror=false", "prediction.precision='32'"]
        job = [f"experiment={experiment}", "data.evaluation=ped_test", where]
        assert train.main(["scale=toy", *paths, *job, *quick]) == 0
    for path in [*(world / "test").rglob("*seg*"), *(world / "store" / "ped_test").rglob("label*")]:
        path.unlink()
    output = tmp_path / "out"
    assert benchmark.main([str(tmp_path / "runs"), "--output", str(output), "--device", "cpu"]) == 0
    assert {path.stem for path in (output / "figures").iterdir()} == {"gap", "curves_uda_fold_0", "embedding"}
    assert "Features of 2 source cases" in (output / "index.html").read_text()
