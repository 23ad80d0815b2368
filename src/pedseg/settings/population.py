"""Statistics of a patient population: how large its tumours and their parts are. The group `population`."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from pedseg.errors import PedsegError
from pedseg.files import read_text
from pedseg.settings.conf import conf_dir, groups
from pedseg.settings.faults import messages, near
from pedseg.settings.fields import Group, refuse, setting
from pedseg.settings.values import NotNegative, Number, OrNone, Positive, Share, Text

GROUP = "population"
Quantiles = Annotated[dict[Share, NotNegative], Field(min_length=2)]  # probability → quantile
Range = tuple[Share, Share]


class Volumes(Group):
    """Quantiles of the sizes of nested regions."""

    wt: Annotated[Quantiles, setting("Whole tumour.", unit="mm³")]
    tc: Annotated[Quantiles, setting("Tumour core.", unit="mm³")]
    et: Annotated[Quantiles, setting("Enhancing tumour.", unit="mm³")]


class Parts(Group):
    """Quantiles of what a region is of the whole tumour."""

    tc: Annotated[Quantiles, setting("Tumour core.")]
    et: Annotated[Quantiles, setting("Enhancing tumour.")]
    ed: Annotated[OrNone[Quantiles], setting("Oedema, where it tells more than the core does.")] = None


class Correlation(Group):
    """Correlations of normal scores."""

    wt_core: Annotated[Number, setting("Size, and part of the core.", gt=-1, lt=1)]
    wt_et: Annotated[Number, setting("Size, and part of enhancing tumour.", gt=-1, lt=1)]
    core_et: Annotated[Number, setting("Parts of core and enhancing tumour.", gt=-1, lt=1)]


class Population(Group):
    """Statistics of a patient population; what refers to one that is absent says so."""

    patients: Annotated[Text, setting("Who they are of, as messages and pages say it.")]
    source: Annotated[Text, setting("Where they are published.")]
    volume_mm3: Annotated[Volumes, setting("Quantiles of sizes, by probability; below the first, 0.")]
    share_of_wt: Annotated[Parts, setting("Quantiles of shares of the whole tumour, likewise.")]
    correlation: Annotated[OrNone[Correlation], setting("Of size and parts, for synthetic cases.")] = None
    mean_share_of_wt: Annotated[
        dict[Literal["tc", "et"], Positive],
        setting("Mean over patients of the share of a region (tc, et) in the whole tumour."),
    ] = Field(default_factory=dict)
    share_of_brain: Annotated[
        dict[Literal["wt", "tc", "et"], Positive], setting("Mean size of a region, as a share of the brain.")
    ] = Field(default_factory=dict)
    batch_share_of_wt: Annotated[
        dict[Literal["tc", "et"], Range], setting("Where the mean share of a region over a few patients may lie.")
    ] = Field(default_factory=dict)
    patch_share_of_wt: Annotated[
        dict[Literal["tc", "et"], Range], setting("Where the share of a region in a patch may lie.")
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        parts = {"volume_mm3": self.volume_mm3, "share_of_wt": self.share_of_wt}
        refuse(
            f"{GROUP}.{name}.{region}: quantiles must ascend with their probabilities"
            for name, group in parts.items()
            for region, quantiles in group
            if quantiles and list(quantiles.items()) != sorted(zip(quantiles, sorted(quantiles.values()), strict=True))
        )
        return self


@cache
def load_population(name: str, folders: Sequence[Path] = ()) -> Population:
    """Read a population by the name of a file in conf/population, or by the path of one anywhere.

    Args:
        name: name or path, which ends in ``.yaml``.
        folders: others than conf/ in which its group is looked for.

    Raises:
        PedsegError: there is none such, or its file is at fault.
    """
    places = [Path(name)] if name.endswith(".yaml") else [f / GROUP / f"{name}.yaml" for f in (*folders, conf_dir())]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise PedsegError(f"population {name} is unknown; {near(name, groups()[GROUP])} Or give a .yaml file")
    try:
        content = yaml.safe_load(read_text(path, what="YAML"))
        if not isinstance(content, Mapping):
            raise PedsegError(f"{path}: holds no keys; write it like {conf_dir() / GROUP / 'brats_peds2023.yaml'}")
        return Population.model_validate(dict(content))
    except ValidationError as error:
        raise PedsegError("\n".join([f"{path}:", *messages(error, where=GROUP, model=Population)])) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise PedsegError(f"{path}: cannot be read ({error}); mend the file") from error
