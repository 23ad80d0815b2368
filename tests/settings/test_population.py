"""Statistics of populations: what the files say, and who refers to them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from pedseg.errors import PedsegError
from pedseg.reporting.sizes import read_sizes
from pedseg.settings.conf import conf_dir, groups, values_of
from pedseg.settings.population import load_population
from tests.composed import settings

CHILDREN = "brats_peds2023"
OTHER = {  # a population that is none of those here
    "patients": "50 others",
    "source": "elsewhere",
    "volume_mm3": {region: {0.25: 100, 0.75: 1000} for region in ("wt", "tc", "et")},
    "share_of_wt": {"tc": {0: 0.2, 1: 0.4}, "et": {0: 0.1, 1: 0.3}},
    "mean_share_of_wt": {"tc": 0.3},
    "share_of_brain": {"wt": 0.1, "tc": 0.03, "et": 0.02},
}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(OTHER), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", groups()["population"])
def test_every_file_is_a_population(name: str) -> None:
    population = load_population(name)
    assert population.patients
    assert population.source
    assert settings(f"population={name}").population == population


def test_the_means_are_the_published_ones(shared: Path) -> None:
    sizes = read_sizes([shared / "reference" / "ped_tumor_sizes.csv"])[["et", "nc", "ed"]].to_numpy(dtype=float)
    wt, tc, et = sizes.sum(axis=1), sizes[:, :2].sum(axis=1), sizes[:, 0]
    population = load_population(CHILDREN)
    assert population.mean_share_of_wt == {"tc": pytest.approx(np.mean(tc / wt), abs=5e-4)}
    shares = {region: v.mean() / 1.6e6 for region, v in (("wt", wt), ("tc", tc), ("et", et))}
    assert population.share_of_brain == pytest.approx(shares, abs=5e-5)


def test_what_refers_to_the_population_of_the_target(other: Path) -> None:
    adaptation = settings("experiment=uda_class_ratio").adaptation.root["mean_teacher"]
    assert adaptation["shares"] == {"wt": 0.0356, "tc": 0.0302, "et": 0.0064}
    assert adaptation["plausible"] == {"tc": [0.4, 1.0], "et": [0.0, 0.6]}
    bounds = settings("experiment=uda_entropy_prior").adaptation.root["prior"]["bounds"]
    assert bounds == {"tc": [0.85, 1.0], "et": [0.05, 0.35]}
    changed = settings("experiment=uda_class_ratio", f"data.cohorts.ped.population={other}")
    assert changed.adaptation.root["mean_teacher"]["shares"] == OTHER["share_of_brain"]
    assert changed.population == load_population(str(other))
    assert "population" in changed.run_name


def test_no_statistic_stands_twice() -> None:
    """Other files of conf/ refer to them."""
    others = [path for path in conf_dir().rglob("*.yaml") if path.parent.name != "population"]
    children = values_of(f"population/{CHILDREN}")
    numbers = {*children["share_of_brain"].values(), *children["mean_share_of_wt"].values()}
    assert not {path.name: n for path in others for n in numbers if str(n) in path.read_text(encoding="utf-8")}


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (("experiment=uda_class_ratio", "population=brats_adults"), r"mean_teacher\.shares\.wt: refers to statistics"),
        (("experiment=uda_entropy_prior", "data.cohorts.ped.population=null"), r"prior\.bounds\.tc: refers to stat"),
        (
            ("data.cohorts.ped.population=brats_peds",),
            r"population brats_peds is unknown; did you mean brats_peds2023",
        ),
        (("data.cohorts.ped.population=gone.yaml",), r"gone\.yaml is unknown"),
        (
            ("experiment=uda", "data.target=[adult,ped]", "data.source={adult: null}"),
            r"of the populations brats_adult",
        ),
    ],
)
def test_what_is_not_known_is_said(overrides: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(PedsegError, match=wanted):
        settings(*overrides)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[1, 2]", "holds no keys"),
        ("{patients: x", "cannot be read"),
        ("patients: x\nsource: y\nwt: 3", r"population\.wt is unknown"),
        (
            yaml.safe_dump({**OTHER, "share_of_wt": {"tc": {0: 0.4, 1: 0.2}, "et": {0: 0, 1: 1}}}),
            r"share_of_wt\.tc: ",
        ),
        (yaml.safe_dump({**OTHER, "share_of_brain": {"wt": -1}}), r"share_of_brain\.wt=-1"),
    ],
)
def test_a_file_at_fault_is_refused(text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PedsegError, match=wanted):
        load_population(str(path))
