"""From conf/adaptation to methods: every file, the stages, and mistakes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from pedseg.adaptation import DomainAdversary, MeanTeacher, SizePrior, StrongAugmentation, methods_of
from pedseg.assembly.methods import build_methods
from pedseg.errors import PedsegError
from pedseg.labels import Domain, Region
from pedseg.networks import DomainClassifier, UNet
from pedseg.settings.signature import signature_model
from tests.composed import plain
from tests.methods import FILES, norm_for


def settings(adaptation: str, *overrides: str, scale: str = "toy") -> dict[str, Any]:
    """The group as a command line gives it."""
    group: dict[str, Any] = plain(f"scale={scale}", f"adaptation={adaptation}", *overrides)["adaptation"]
    return group


def network(*, patch: Sequence[int] = (16, 16, 16), norm: Any = "instance") -> UNet:
    with torch.device("meta"):
        return UNet(patch_size=patch, base_features=4, max_features=16, norm=norm)


def adversary(adaptation: str, *overrides: str, patch: Sequence[int] = (16, 16, 16)) -> DomainAdversary:
    (method,) = build_methods(settings(adaptation, *overrides)).values()
    assert isinstance(method, DomainAdversary)
    method.start(network(patch=patch))
    return method


def classifiers(method: DomainAdversary) -> dict[int, DomainClassifier]:
    found = {}
    for stage, classifier in method.classifiers.items():
        assert isinstance(classifier, DomainClassifier)
        found[int(stage)] = classifier
    return found


@pytest.mark.parametrize("scale", ["toy", "demo", "paper"])
@pytest.mark.parametrize("file", FILES)
def test_every_file_builds_a_method_that_fits_every_scale(file: str, scale: str) -> None:
    chosen = settings(file, scale=scale)
    ((name, method),) = build_methods(chosen).items()
    assert {name: type(method)} == methods_of(chosen)
    patch = {"toy": (16, 16, 16), "demo": (32, 40, 40), "paper": (128, 128, 128)}[scale]
    with torch.device("meta"):
        method.start(network(patch=patch, norm=norm_for([method])))


@pytest.mark.parametrize("file", FILES)
def test_every_setting_is_described_and_written_out(file: str) -> None:
    """A file is where a reader looks for what can be set; only what is off by default may be left out of it."""
    ((name, kind),) = methods_of(settings(file)).items()
    target: Callable[..., object] = kind
    fields = signature_model(target).model_fields
    assert all(field.description for field in fields.values())
    absent = fields.keys() - settings(file)[name].keys()
    assert all(fields[key].default is None for key in absent)


def test_no_scale_switches_a_method_on() -> None:
    assert settings("none", scale="toy") == settings("none", scale="demo") == {}


def test_settings_of_the_command_line_win_over_those_of_the_scale() -> None:
    at_once = settings("dann", "adaptation.dann.classifier.blocks=2")["dann"]["classifier"]
    assert (at_once["blocks"], at_once["channels"]) == (2, 8)
    paper = settings("dann", scale="paper")["dann"]["classifier"]
    assert (paper["blocks"], paper["channels"]) == (4, 100)


def test_a_method_is_switched_off_by_its_name() -> None:
    assert list(settings("[strong,dann,class_ratio]", "~adaptation.dann")) == ["strong", "mean_teacher"]


def test_values_arrive_where_they_belong() -> None:
    methods = build_methods(settings("[strong,mean_teacher,prior,entropy,fourier]", "adaptation.strong.sides=[source]"))
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
    teacher = build_methods(chosen)["mean_teacher"]
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
    method = adversary("dann_multilevel", f"adaptation.dann.decoder_stage={chosen}", patch=(128, 128, 128))
    assert list(classifiers(method)) == stages


@pytest.mark.parametrize("chosen", ["6", "-6", "-7"])
def test_stages_that_are_not_there_are_refused(chosen: str) -> None:
    with pytest.raises(PedsegError, match=f"decoder_stage={chosen}: this network has 5"):
        adversary("dann_multilevel", f"adaptation.dann.decoder_stage={chosen}", patch=(128, 128, 128))


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
    deep = adversary("dann_multilevel", "adaptation.dann.decoder_stage=[0,-1]", "adaptation.dann.classifier.channels=2")
    assert {stage: c.settings["blocks"] for stage, c in classifiers(deep).items()} == {0: 2, 2: 3}
    flat = adversary("dann_convolutional", "adaptation.dann.classifier.blocks=9", patch=(16, 64, 64))
    assert [c.settings["blocks"] for c in classifiers(flat).values()] == [3]
    with pytest.raises(PedsegError, match="read a shallower decoder_stage"):
        adversary("dann", "adaptation.dann.decoder_stage=0")


@pytest.mark.parametrize(
    ("adaptation", "overrides", "message"),
    [
        ("dann", ["+adaptation.magic.probability=1"], r"adaptation\.magic has no _target_"),
        ("dann", ["+adaptation.prior.weight=1"], r"adaptation\.prior has no _target_.* by adaptation=\[..., prior\]"),
        ("dann", ["+adaptation.dann.raeds=features"], r"adaptation\.dann\.raeds is unknown; did you mean reads"),
        ("dann", ["+adaptation.dann.network=1"], r"adaptation\.dann\.network is unknown"),
        ("dann", ["~adaptation.dann.alpha_max"], r"adaptation\.dann\.alpha_max is missing"),
        ("dann", ["adaptation.dann.alpha_max=-1"], r"adaptation\.dann\.alpha_max=-1: should be greater than or equal"),
        ("dann", ["adaptation.dann.lambda_domain=off"], r"adaptation\.dann\.lambda_domain='off': give a number"),
        ("dann", ["adaptation.dann.alpha_start=0.7"], r"adaptation\.dann\.alpha_start=0\.7: the rise ends at"),
        ("dann", ["adaptation.dann.classifier.pooling=max"], r"adaptation\.dann\.classifier\.pooling='max': should be"),
        ("prior", ["adaptation.prior.end=0.1"], r"adaptation\.prior\.start=0\.2: the rise ends at end=0\.1"),
        ("prior", ["+adaptation.prior.bounds.wt=[0,1]"], r"adaptation\.prior\.bounds\.wt"),
        ("prior", ["adaptation.prior.bounds.tc=[0.9]"], r"adaptation\.prior\.bounds\.tc"),
        ("mean_teacher", ["adaptation.mean_teacher.plausible.tc=[1,0]"], r"mean_teacher\.plausible\.tc=\[1, 0\]: give"),
        ("class_ratio", ["adaptation.mean_teacher.shares.tc=0.5"], r"mean_teacher\.shares=.*give no part more"),
        ("class_ratio", ["adaptation.mean_teacher.shares.wt=null"], r"mean_teacher\.shares\.wt=None"),
        ("class_ratio", ["+adaptation.mean_teacher.shares.ed=0.1"], r"mean_teacher\.shares\.ed"),
        ("class_ratio", ["adaptation.mean_teacher.decay=1"], r"mean_teacher\.decay=1\.0: lets no count fade"),
        ("mean_teacher", ["adaptation.mean_teacher.confidence=1"], r"mean_teacher\.confidence=1: should be less"),
        ("strong", ["adaptation.strong.sides=[children]"], r"adaptation\.strong\.sides\.0='children'"),
        ("strong", ["adaptation.strong._target_=os.system"], r"adaptation\.strong\._target_=os\.system is no subclass"),
        ("advent", ["adaptation.dann.decoder_stage=[1,2]"], r"adaptation\.dann\.decoder_stage=\[1, 2\]: reads=entropy"),
        ("dann", ["adaptation.dann.decoder_stage=[]"], r"adaptation\.dann\.decoder_stage=\[\]"),
    ],
)  # fmt: skip
def test_mistakes_are_named(adaptation: str, overrides: list[str], message: str) -> None:
    """Before there is a network."""
    with pytest.raises(PedsegError, match=message):
        build_methods(settings(adaptation, *overrides))
