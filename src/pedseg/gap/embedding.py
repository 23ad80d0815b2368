"""Features of cases of both domains at the stage that the domain classifier reads, in two dimensions."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from pedseg.choosing.scores import probe_domains
from pedseg.data import StoredCase
from pedseg.errors import PedsegError
from pedseg.inference import Predictor

STAGE = -2  # of the decoder: the paper's classifier reads the second-highest; the only one where there is one
WINDOWS = 4  # of a case
FEWEST_CASES = 2  # of a domain
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Embedding:
    """Cases of both domains as one network sees them.

    Attributes:
        name: of the model.
        source: (n, 2).
        target: (m, 2).
        accuracy: balanced accuracy of a fresh linear probe of the domains on all channels, cross-validated by case;
            0.5 is chance.
    """

    name: str
    source: Floats
    target: Floats
    accuracy: float


def embed(name: str, source: Floats, target: Floats) -> Embedding:
    """Project features to their first two principal components, and probe the domains.

    Channels are standardised over all cases. The projection is divided by the standard deviation within a domain, so
    that panels of several networks share a scale: distances are in units of how cases of one domain differ.

    Args:
        name: of the model.
        source: (n, channels), a row per case.
        target: (m, channels).

    Raises:
        PedsegError: a domain has fewer than two cases.
    """
    if min(len(source), len(target)) < FEWEST_CASES:
        raise PedsegError(f"{len(source)} source and {len(target)} target cases are too few to compare; give 2 of each")
    scaled = StandardScaler().fit_transform(np.concatenate([source, target]))
    points = np.zeros((len(scaled), 2))
    if scaled.any():
        points = PCA(n_components=2, svd_solver="full").fit_transform(scaled)
    domains = points[: len(source)], points[len(source) :]
    spread = float(np.sqrt(np.mean([domain.var(axis=0, ddof=1).mean() for domain in domains])))
    places = np.arange(len(source)), np.arange(len(target))
    probe = probe_domains(source, target, source_cases=places[0], target_cases=places[1])
    assert probe is not None  # noqa: S101  (both domains have two cases)
    first, second = (domain / spread if spread > 0 else domain for domain in domains)
    return Embedding(name, first, second, probe.accuracy)


def stage_features(predictor: Predictor, cases: Iterable[StoredCase], *, seed: int = 0) -> Floats:
    """Features (cases, channels): means over the brain voxels of some windows of each case. No label is opened.

    Windows are centred on random brain voxels, the same ones whichever network reads them. A voxel of the stage counts
    as much as the part of it that is brain.

    Raises:
        PedsegError: a file is damaged, or the store holds other voxels than the network's.
    """
    return np.stack([_case_features(predictor, case, seed=seed) for case in cases])


@torch.inference_mode()
def _case_features(predictor: Predictor, case: StoredCase, *, seed: int) -> Floats:
    predictor.check_spacing(case.spacing_mm, case.folder)
    rng = np.random.default_rng([seed, *case.id.encode()])
    brain = case.read_image((0, 0, 0), case.shape)[1]
    images, masks = [], []
    for centre in rng.choice(np.flatnonzero(brain), WINDOWS):
        voxel = np.unravel_index(centre, case.shape)
        start = [int(c) - n // 2 for c, n in zip(voxel, predictor.patch_size, strict=True)]
        image, mask = case.read_image(start, predictor.patch_size)
        images.append(image)
        masks.append(mask)
    batch = torch.from_numpy(np.stack(images)).to(predictor.device, memory_format=torch.channels_last_3d)
    decoder = predictor.networks[0].forward_features(batch).decoder
    stage = decoder[max(STAGE, -len(decoder))].double().cpu()
    weight = F.adaptive_avg_pool3d(torch.from_numpy(np.stack(masks)).double(), stage.shape[2:])
    total: Floats = ((stage * weight).sum(dim=(0, 2, 3, 4)) / weight.sum()).numpy()
    return total
