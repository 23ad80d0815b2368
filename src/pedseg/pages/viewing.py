"""What the viewer of a page shows, and the one file of NiiVue that shows it."""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from pedseg.errors import PedsegError
from pedseg.files import atomic_path, write_text
from pedseg.pages import SCRIPT, VOLUMES

EMBEDDED = 24_000_000  # bytes of volumes that are written into a page; more lie beside it
INSTALL = 'pip install "pedseg[viewer]"'
# ipyniivue ships NiiVue inside the script of its widget, a module that exports the widget alone. `_CLASS` is where the
# widget makes its NiiVue, `_EXPORT` the last statement; a page from the disk can load classic scripts only.
_CLASS = re.compile(r'Creating new Niivue instance"\);.{0,120}?=new ([\w$]+)\(')
_EXPORT = re.compile(r"export\s*\{[^{}]*\};?\s*\Z")


@dataclass(frozen=True, slots=True)
class Layer:
    """A volume of a case.

    Attributes:
        title: such as ``FLAIR`` or ``label``.
        kind: ``image`` (0-255), ``tissues``, ``difference`` (codes of `pedseg.metrics.errors`) or
            ``probability`` (0-255).
        content: a NIfTI file, compressed.
        model: whose it is; nothing for those of the case.
    """

    title: str
    kind: str
    content: bytes
    model: str = ""


@dataclass(frozen=True, slots=True)
class ViewedCase:
    """A case in the viewer.

    Attributes:
        name: its id.
        note: what to know of it, such as why it was chosen.
        layers: its volumes, all on one grid.
        scores: a sentence for each model.
        spot_mm: where to look first, (x, y, z) in world coordinates.
    """

    name: str
    note: str
    layers: Sequence[Layer]
    scores: dict[str, str] = field(default_factory=dict)
    spot_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Cases to look at.

    Attributes:
        caption: what they are.
        cases: in the order of the list.
    """

    caption: str
    cases: Sequence[ViewedCase]

    @property
    def embedded(self) -> bool:
        """Whether the volumes are few enough to be written into the page."""
        return sum(len(layer.content) for case in self.cases for layer in case.layers) <= EMBEDDED


def described(viewer: Viewer) -> dict[str, Any]:
    """What the page's script reads; volumes as base64, or as paths relative to the page."""
    places = dict(zip(_layers(viewer), _paths(viewer), strict=True)) if not viewer.embedded else {}
    cases = []
    for index, case in enumerate(viewer.cases):
        layers = [
            {
                "title": layer.title,
                "kind": layer.kind,
                "model": layer.model,
                **(
                    {"path": places[index, number]}
                    if places
                    else {"data": base64.b64encode(layer.content).decode("ascii")}
                ),
            }
            for number, layer in enumerate(case.layers)
        ]
        cases.append(
            {"name": case.name, "note": case.note, "scores": case.scores, "spot": case.spot_mm, "layers": layers}
        )
    return {"cases": cases}


def write_viewer(viewer: Viewer, folder: Path) -> list[Path]:
    """Write NiiVue, and volumes that are not in the page, beside it; return the paths.

    Raises:
        PedsegError: NiiVue is not installed, or is built in another way.
    """
    write_text(folder / SCRIPT, classic_script(*niivue_module()))
    written = [folder / SCRIPT]
    if not viewer.embedded:
        for (case, number), name in zip(_layers(viewer), _paths(viewer), strict=True):
            path = folder / name
            with atomic_path(path) as temporary:
                temporary.write_bytes(viewer.cases[case].layers[number].content)
            written.append(path)
    return written


def niivue_module() -> tuple[str, str, str]:
    """The module of ipyniivue that holds NiiVue, its version, and its licence.

    Raises:
        PedsegError: it is not installed.
    """
    try:
        installed = distribution("ipyniivue")
    except PackageNotFoundError as error:
        raise PedsegError(f"the viewer needs NiiVue, which ipyniivue brings; {INSTALL}") from error
    script = Path(str(installed.locate_file("ipyniivue/static/widget.js")))
    licences = [Path(str(f.locate())) for f in installed.files or [] if f.name == "LICENSE"]
    if not script.is_file():
        raise PedsegError(f"{script}: ipyniivue {installed.version} has no NiiVue there; {INSTALL}")
    texts = [path.read_text(encoding="utf-8") for path in (script, *licences[:1])]
    return texts[0], installed.version, texts[1] if licences else ""


def classic_script(module: str, version: str, licence: str = "") -> str:
    """A script that a page from the disk can load and that gives it ``globalThis.Niivue``.

    Args:
        module: text of ipyniivue's.
        version: of ipyniivue, named in the first line.
        licence: of NiiVue, which goes along.

    Raises:
        PedsegError: the module is built in another way.
    """
    made, exported = _CLASS.search(module), _EXPORT.search(module)
    if not made or not exported:
        raise PedsegError(f"ipyniivue {version} is built in another way than this pedseg knows; {INSTALL}")
    head = f"NiiVue (BSD-2-Clause, https://github.com/niivue/niivue), from ipyniivue {version}\n\n{licence}"
    body = module[: exported.start()]
    return f"/* {head.replace('*/', '* /')}*/\n(() => {{\n{body}\nglobalThis.Niivue = {made[1]};\n}})();\n"


def _layers(viewer: Viewer) -> Iterator[tuple[int, int]]:
    for index, case in enumerate(viewer.cases):
        for number in range(len(case.layers)):
            yield index, number


def _paths(viewer: Viewer) -> Iterator[str]:
    """Names without anything of unknown origin in them."""
    return (f"{VOLUMES}/{case:03}_{number:02}.nii.gz" for case, number in _layers(viewer))
