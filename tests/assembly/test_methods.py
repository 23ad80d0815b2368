"""From conf/adaptation to methods: every file, the stages, and mistakes."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pedseg.adaptation import (
    DomainAdversary,
    DomainNorm,
    EntropyMinimisation,
    FourierStyle,
    HistogramStyle,
    MeanTeacher,
    SizePrior,
    StrongAugmentation,
)
from pedseg.assembly.methods import BUILDERS, build_methods
from pedseg.commands.hydra_entry import conf_dir, run_name
from pedseg.errors import PedsegError
from pedseg.labels import Domain, Region
from pedseg.networks import DomainClassifier, UNet

FILES = sorted(path.stem for path in (conf_dir() / "adaptation").glob("*.yaml"))
CLASSES = {
    "strong": StrongAugmentation,
    "fourier": FourierStyle,
    "histogram": HistogramStyle,
    "norm": DomainNorm,
    "mean_teacher": MeanTeacher,
    "class_ratio": MeanTeacher,
    "entropy": EntropyMinimisation,
    "prior": SizePrior,
}
NAMES = {"class_ratio": "mean_teacher"}  # of methods whose files have other names


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    OmegaConf.register_new_resolver("pedseg.run_name", run_name, replace=True)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def settings(adaptation: str, *overrides: str, scale: str = "toy") -> dict[str, Any]:
    """The group as a command line gives it."""
    composed = compose("train", [f"scale={scale}", f"adaptation={adaptation}", *overrides])
    plain: dict[str, Any] = OmegaConf.to_container(composed.adaptation, resolve=True)  # type: ignore[assignment]
    return plain


def network(*, patch: Sequence[int] = (16, 16, 16)) -> UNet:
    with torch.device("meta"):
        return UNet(patch_size=patch, base_features=4, max_features=16)


def adversary(adaptation: str, *overrides: str, patch: Sequence[int] = (16, 16, 16)) -> DomainAdversary:
    (method,) = build_methods(settings(adaptation, *overrides), network(patch=patch)).values()
    assert isinstance(method, DomainAdversary)
    return method


def classifiers(method: DomainAdversary) -> dict[int, DomainClassifier]:
    found = {}
    for stage, classifier in method.classifiers.items():
        assert isinstance(classifier, DomainClassifier)
        found[int(stage)] = classifier
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_file_builds_its_method(file: str) -> None:
    methods = build_methods(settings(file), network())
    if file == "none":
        assert not methods
    elif file in CLASSES:
        assert {name: type(method) for name, method in methods.items()} == {NAMES.get(file, file): CLASSES[file]}
    else:
        assert {name: type(method) for name, method in methods.items()} == {"dann": DomainAdversary}


@pytest.mark.parametrize("scale", ["toy", "demo", "paper"])
def test_every_adversary_fits_every_scale(scale: str) -> None:
    patch = {"toy": (16, 16, 16), "demo": (32, 40, 40), "paper": (128, 128, 128)}[scale]
    with torch.device("meta"):
        for file in FILES:
            if file not in (*CLASSES, "none"):
                build_methods(settings(file, scale=scale), UNet(patch_size=patch))


def test_images_are_changed_before_they_are_read_whatever_the_order_of_the_command() -> None:
    chosen = settings("[prior,dann,norm,entropy,strong,mean_teacher,histogram,fourier]")
    assert list(build_methods(chosen, network())) == list(BUILDERS)
    assert list(BUILDERS)[:3] == ["fourier", "histogram", "strong"]


def test_values_arrive_where_they_belong() -> None:
    methods = build_methods(
        settings("[strong,mean_teacher,prior,entropy,fourier]", "adaptation.strong.sides=[source]"), network()
    )
    strong, teacher, prior = methods["strong"], methods["mean_teacher"], methods["prior"]
    assert isinstance(strong, StrongAugmentation)
    assert isinstance(teacher, MeanTeacher)
    assert isinstance(prior, SizePrior)
    assert strong.sides == (Domain.SOURCE,)
    assert (teacher.decay, teacher.masked, teacher.block) == (0.99, 0.3, 8)
    assert teacher.plausible == {Region.TC: (0.4, 1.0), Region.ET: (0.0, 0.6)}
    assert prior.bounds == {Region.TC: (0.85, 1.0), Region.ET: (0.05, 0.35)}
    for name, value in (
        ("mean_teacher", "consistency_weight"),
        ("entropy", "entropy_weight"),
        ("prior", "prior_weight"),
    ):
        weights = [methods[name].start_epoch(progress)[value] for progress in (0.0, 0.2, 0.4, 0.6, 0.9)]
        most = 0.5 if name == "entropy" else 1.0
        assert weights == pytest.approx([0, 0, most / 2, most, most])
    assert [name for name, method in methods.items() if not method.needs_target] == ["strong"]


def test_known_shares_are_the_mean_teachers() -> None:
    """Alone and in any order with other methods; the mean teacher's values hold but for the shares and the start."""
    plain, shares = settings("mean_teacher"), settings("class_ratio")["mean_teacher"].pop("shares")
    chosen = settings("[class_ratio,strong]", "adaptation.mean_teacher.shares.et=0.01")
    differing = {key for key, value in chosen["mean_teacher"].items() if value != plain["mean_teacher"].get(key)}
    assert differing == {"shares", "start", "end"}
    assert "shares" not in plain["mean_teacher"]
    assert chosen == settings("[strong,class_ratio]", "adaptation.mean_teacher.shares.et=0.01")
    teacher = build_methods(chosen, network())["mean_teacher"]
    assert isinstance(teacher, MeanTeacher)
    assert teacher.shares is not None
    assert teacher.shares.shares == {Region.WT: shares["wt"], Region.TC: shares["tc"], Region.ET: 0.01}


def test_published_shares_are_those_of_the_table() -> None:
    """Volumes in cm³ over 1.6 litres of brain, rounded to four digits."""
    shares = settings("class_ratio")["mean_teacher"]["shares"]
    assert shares == {
        "wt": round(56.9 / 1600, 4),
        "tc": pytest.approx(48.4 / 1600, abs=1e-4),
        "et": round(10.3 / 1600, 4),
    }


@pytest.mark.parametrize(
    ("chosen", "stages"),
    [("-2", [4]), ("-1", [5]), ("1", [1]), ("0", [0]), ("[0,-1]", [0, 5]), ("-5", [1]), ("[2,-4]", [2])],
)
def test_stages_of_the_paper_count_from_both_ends(chosen: str, stages: list[int]) -> None:
    method = adversary("dann_multilevel", f"adaptation.decoder_stage={chosen}", patch=(128, 128, 128))
    assert list(classifiers(method)) == stages


@pytest.mark.parametrize("chosen", ["6", "-6", "-7"])
def test_stages_that_are_not_there_are_refused(chosen: str) -> None:
    with pytest.raises(PedsegError, match=f"decoder_stage={chosen}: this network has 5"):
        adversary("dann_multilevel", f"adaptation.decoder_stage={chosen}", patch=(128, 128, 128))


def test_what_the_classifiers_read() -> None:
    """Channels and sizes at the paper's patch, where the stages of decoder and bottleneck have 4 features and more."""
    multilevel = classifiers(adversary("dann_multilevel", patch=(128, 128, 128)))
    found = {stage: (c.in_channels, tuple(c.settings["input_size"])) for stage, c in multilevel.items()}
    assert found == {0: (16, (4, 4, 4)), 2: (16, (16, 16, 16)), 4: (8, (64, 64, 64))}
    (conditional,) = classifiers(adversary("dann_conditional", patch=(128, 128, 128))).values()
    assert (conditional.in_channels, conditional.settings["input_size"]) == (4 * 8, [64, 64, 64])
    (advent,) = classifiers(adversary("advent", patch=(128, 128, 128))).values()
    assert (advent.in_channels, advent.settings["input_size"]) == (6, [128, 128, 128])


def test_blocks_are_limited_by_the_stage_but_for_the_papers_form() -> None:
    deep = adversary("dann_multilevel", "adaptation.decoder_stage=[0,-1]", "adaptation.classifier.channels=2")
    assert {stage: c.settings["blocks"] for stage, c in classifiers(deep).items()} == {0: 2, 2: 3}
    flat = adversary("dann_convolutional", "adaptation.classifier.blocks=9", patch=(16, 64, 64))  # stage of 8 × 32 × 32
    assert [c.settings["blocks"] for c in classifiers(flat).values()] == [3]
    with pytest.raises(PedsegError, match="read a shallower decoder_stage"):
        adversary("dann", "adaptation.decoder_stage=0")


@pytest.mark.parametrize(
    ("adaptation", "overrides", "message"),
    [
        ("dann", ["+adaptation.methods.magic=true"], "magic is unknown; there are fourier"),
        ("dann", ["+adaptation.methods.prior=true"], r"prior is on but has no settings; choose it by adaptation="),
        ("none", ["+adaptation.methods.dann=true"], "dann is on but has no settings"),
        ("dann", ["adaptation.alpha_start=0.7"], r"adaptation\.alpha rises from progress 0\.7 to 0\.7"),
        ("prior", ["adaptation.prior.end=0.1"], r"adaptation\.prior rises from progress 0\.2 to 0\.1"),
        ("prior", ["+adaptation.prior.bounds.wt=[0,1]"], r"prior\.bounds\.wt"),
        ("prior", ["adaptation.prior.bounds.tc=[0.9]"], r"prior\.bounds\.tc=\[0\.9\]"),
        ("mean_teacher", ["adaptation.mean_teacher.plausible.tc=[1,0]"], r"plausible\.tc"),
        ("class_ratio", ["adaptation.mean_teacher.shares.tc=0.5"], r"shares=.*give no part more"),
        ("class_ratio", ["adaptation.mean_teacher.shares.wt=null"], r"shares\.wt=None"),
        ("class_ratio", ["+adaptation.mean_teacher.shares.ed=0.1"], r"shares\.ed=0\.1"),
        ("class_ratio", ["adaptation.mean_teacher.decay=1"], "lets no count fade"),
        ("mean_teacher", ["adaptation.mean_teacher.confidence=1"], "confidence 1 is reached by no logit"),
        ("strong", ["adaptation.strong.sides=[children]"], r"strong\.sides=\['children'\]"),
        ("advent", ["adaptation.decoder_stage=[1,2]"], "single decoder_stage"),
        ("dann", ["adaptation.decoder_stage=[]"], "no decoder_stage"),
    ],
)
def test_mistakes_are_named(adaptation: str, overrides: list[str], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        build_methods(settings(adaptation, *overrides), network())
