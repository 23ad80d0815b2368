"""Stores that a disk, a copy or a hand has damaged: refused by name where they are used, mended by preparing again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pedseg.commands.prepare import main as prepare
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.seals import read_sealed, sealed
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.labels import Region

Damage = Callable[[Path, Path], Any]


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def swap(first: Path, second: Path) -> None:
    first.rename(first.with_name("between"))
    second.rename(first)
    first.with_name("between").rename(second)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "missing image": (lambda one, two: (one / "image.b2nd").unlink(), r"image\.b2nd: is missing"),
    "missing label": (lambda one, two: (one / "label.b2nd").unlink(), r"label\.b2nd: is missing"),
    "cut image": (lambda one, two: cut(one / "image.b2nd"), r"image\.b2nd: has \d+ bytes"),
    "empty image": (lambda one, two: (one / "image.b2nd").write_bytes(b""), r"image\.b2nd: has 0 bytes"),
    "flipped image": (lambda one, two: flip(one / "image.b2nd"), r"image\.b2nd: is damaged"),
    "flipped label": (lambda one, two: flip(one / "label.b2nd"), r"label\.b2nd: is damaged"),
    "flipped voxels": (lambda one, two: flip(one / "foreground.npy"), r"foreground\.npy: is damaged"),
    "foreign image": (lambda one, two: shutil.copy(__file__, one / "image.b2nd"), r"image\.b2nd: has"),
    "swapped folders": (swap, r"(image|label)\.b2nd: (has|is damaged or of another case)"),
    "swapped images": (lambda one, two: swap(one / "image.b2nd", two / "image.b2nd"), r"image\.b2nd: "),
}


@pytest.fixture
def store(toy_world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_world / "store", tmp_path / "store"))


def read_all(cohort: Path) -> None:
    opened = CohortStore(cohort)
    for case in map(opened.open, opened.case_ids):
        case.read_image((0, 0, 0), (2, 2, 2))
        case.read_label((0, 0, 0), (2, 2, 2))
        case.foreground(Region.WT)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_at_first_use(store: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    cases = sorted((store / "ped" / "cases").iterdir())
    damage(cases[1], cases[2])
    with pytest.raises(PedsegError, match=message + "(?s:.*)run `pedseg prepare` again"):
        read_all(store / "ped")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"labelled": true', '"labelled": false', "is damaged or was edited"),
        ('"std": [', '"std": [-', "not readable|is damaged"),
        ("{", "", "not readable"),
    ],
)
def test_a_damaged_index_is_named(store: Path, old: str, new: str, message: str) -> None:
    path = store / "ped" / "index.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(PedsegError, match=rf"index\.json: ({message})"):
        CohortStore(store / "ped")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("folder", "../../../../etc"),
        ("folder", "/etc"),
        ("shape", [0, 2, 2]),
        ("shape", [10**6] * 3),
        ("shape", [2, 2]),
        ("spacing_mm", [1, float("nan"), 1]),
        ("std", [1, 0, 1, 1]),
        ("mean", ["1", 1, 1, 1]),
        ("mean", [1, 1, 1]),
        ("foreground_counts", [-1, 2, 2]),
        ("files", {"../x": {"size": 1, "sha256": "0" * 64}}),
    ],
)
def test_an_index_that_says_nonsense_is_refused(store: Path, key: str, value: Any) -> None:
    path = store / "ped" / "index.json"
    index = read_json(path)
    next(iter(index["cases"].values()))[key] = value
    write_json(path, sealed(index))
    with pytest.raises(PedsegError, match=rf"index\.json: .*cases\..*({key}|different numbers of channels)"):
        CohortStore(store / "ped")


def test_a_seal_is_of_the_content_alone(tmp_path: Path) -> None:
    record = sealed({"b": (1, 2.5), "a": {"9": 1, "10": 2}})
    (tmp_path / "x.json").write_text(json.dumps(dict(reversed(record.items())), indent=7))
    assert read_sealed(tmp_path / "x.json")["b"] == [1, 2.5]
    write_json(tmp_path / "x.json", {"a": 1})  # of before digests
    assert read_sealed(tmp_path / "x.json") == {"a": 1}


def arrays(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.rglob("cases/*/*") if path.suffix in (".b2nd", ".npy")}


def prepared_again(toy_world: Path, store: Path, *more: str) -> int:
    paths = [*(f"paths.{name}={toy_world / name}" for name in ("adult", "ped")), f"paths.store={store}"]
    return prepare(["scale=toy", "workers=1", *paths, *more])


def test_preparing_again_mends_what_is_damaged_and_nothing_else(toy_world: Path, store: Path) -> None:
    before, entries = arrays(store), {path: path.read_bytes() for path in store.rglob("case.json")}
    cases = [sorted((store / cohort / "cases").iterdir()) for cohort in ("adult", "ped")]
    for (damage, _), one in zip(list(DAMAGES.values())[:8], [*cases[0][:4], *cases[1][:4]], strict=True):
        damage(one, one)
    swap(cases[0][4], cases[0][5])
    (cases[1][4] / "case.json").write_text("{")
    (store / "adult" / "index.json").write_text("[]")
    (store / "ped" / "settings.json").write_text("{")
    (cases[0][0] / "mine.txt").write_text("notes")
    kept = {path: path.stat().st_mtime_ns for path in before if path.parent == cases[1][5]}
    assert prepared_again(toy_world, store) == 0
    assert arrays(store) == before
    assert {path: path.read_bytes() for path in entries} == entries
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (cases[0][0] / "mine.txt").read_text() == "notes"
    for cohort in ("adult", "ped"):
        read_all(store / cohort)
        assert read_json(store / cohort / "index.json")["labelled"]
        assert read_json(store / cohort / "settings.json")["labelled"]


def test_a_folder_in_place_of_an_array_is_named(
    toy_world: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((store / "ped" / "cases").glob("*/image.b2nd"))
    image.unlink()
    (image / "x").mkdir(parents=True)
    with pytest.raises(PedsegError, match=r"image\.b2nd: is missing"):
        read_all(store / "ped")
    assert prepared_again(toy_world, store) == 2
    assert f"{image}: is in the way" in capsys.readouterr().err


def test_stores_of_before_digests_are_read_and_given_them(toy_world: Path, store: Path) -> None:
    before = arrays(store)
    new = {path: path.read_bytes() for path in store.rglob("*.json")}
    for path in new:
        record = {key: value for key, value in read_json(path).items() if key not in ("sha256", "files")}
        for entry in record.get("cases", {}).values():
            entry.pop("sha256")
            entry.pop("files")
        write_json(path, record)
    read_all(store / "ped")
    times = {path: path.stat().st_mtime_ns for path in before}
    cut(next(path for path in before if path.name == "image.b2nd"))
    assert prepared_again(toy_world, store) == 0
    assert arrays(store) == before
    assert sum(path.stat().st_mtime_ns != time for path, time in times.items()) == 3  # the arrays of one case
    inputs = {f"{cohort}/index.json": "input_folder" for cohort in ("adult", "ped")}
    assert {path for path in new if path.read_bytes() != new[path]} <= {store / name for name in inputs}


def patches(store: Path, **cohorts: Any) -> PatchDataModule:
    given: dict[str, Any] = {"source": {}, "source_validation": {}, "target": {}, "patch_size": (16, 16, 16)}
    return PatchDataModule(
        store=store, **(given | cohorts), batch_size=2, steps_per_epoch=1, validation_steps=0, seed=0
    )


def test_a_training_sees_at_once_whether_its_files_are_there(store: Path) -> None:
    """Of the target it looks for images alone."""
    ids = {cohort: CohortStore(store / cohort).case_ids for cohort in ("adult", "ped")}
    for path in (store / "ped").rglob("label.b2nd"):
        path.unlink()
    assert patches(store, source={"adult": ids["adult"]}, target={"ped": ids["ped"]})
    with pytest.raises(PedsegError, match=r"ped.*label\.b2nd: is missing"):
        patches(store, source=ids)
    cut(store / "ped" / "cases" / ids["ped"][3] / "image.b2nd")
    with pytest.raises(PedsegError, match=rf"{ids['ped'][3]}.image\.b2nd: has \d+ bytes and not"):
        patches(store, source={"adult": ids["adult"]}, target={"ped": ids["ped"]})
