"""NiiVue taken out of ipyniivue, and where the volumes of a viewer go."""

import base64
import importlib.util
from pathlib import Path

import pytest

from pedseg.errors import PedsegError
from pedseg.pages import viewing
from pedseg.pages.document import Document, Section
from pedseg.pages.render import write_page
from pedseg.pages.viewing import Layer, ViewedCase, Viewer, classic_script, described, niivue_module, write_viewer

MODULE = (
    'var a$=class{};var w={initialize({model:A}){console.log("Creating new Niivue instance");let B=A.get("o");'
    "v=new a$(B)}};export{w as default};\n"
)
NEEDS_NIIVUE = pytest.mark.skipif(
    importlib.util.find_spec("ipyniivue") is None, reason="ipyniivue is absent: pip install 'pedseg[viewer]'"
)


def viewer() -> Viewer:
    """Two cases whose names lead out of the folder."""
    layers = [Layer("FLAIR", "image", b"one"), Layer("prediction", "tissues", b"two", "UDA")]
    return Viewer("Cases", [ViewedCase("../../a", "", layers), ViewedCase("b", "", layers[:1])])


def test_the_module_becomes_a_classic_script() -> None:
    script = classic_script(MODULE, "1.2", "Licence */ text")
    assert script.startswith("/* NiiVue (BSD-2-Clause")
    assert "Licence * / text" in script
    assert script.rstrip().endswith("globalThis.Niivue = a$;\n})();")
    assert "export" not in script


@pytest.mark.parametrize("module", ["", "export{w as default}", MODULE.partition("export")[0]])
def test_another_build_is_told(module: str) -> None:
    with pytest.raises(PedsegError, match=r"ipyniivue 9 is built in another way .* pip install"):
        classic_script(module, "9")


@NEEDS_NIIVUE
def test_the_installed_one_is_understood() -> None:
    module, version, licence = niivue_module()
    script = classic_script(module, version, licence)
    assert "Redistribution and use in source and binary forms" in script
    assert len(script) > 1_000_000


def test_small_volumes_are_in_the_page() -> None:
    cases = described(viewer())["cases"]
    assert [layer["data"] for layer in cases[0]["layers"]] == [base64.b64encode(b).decode() for b in (b"one", b"two")]
    assert cases[0]["layers"][1]["model"] == "UDA"


def test_large_ones_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "EMBEDDED", 5)
    monkeypatch.setattr(viewing, "niivue_module", lambda: (MODULE, "1", ""))
    paths = write_viewer(viewer(), tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    assert names == ["niivue.js", *(f"volumes/{name}.nii.gz" for name in ("000_00", "000_01", "001_00"))]
    assert [layer["path"] for case in described(viewer())["cases"] for layer in case["layers"]] == names[1:]
    assert (tmp_path / "volumes" / "000_01.nii.gz").read_bytes() == b"two"


def test_without_niivue_the_page_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> tuple[str, str, str]:
        raise PedsegError("the viewer needs NiiVue, which ipyniivue brings; pip install it")

    monkeypatch.setattr(viewing, "niivue_module", absent)
    (page,) = write_page(Document("x", [Section("Cases", viewer=viewer())]), tmp_path)
    text = page.read_text()
    assert "The viewer needs NiiVue, which ipyniivue brings; pip install it, then make the page again." in text
    assert "<canvas" not in text
    assert "niivue.js" not in text
