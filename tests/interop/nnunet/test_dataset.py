"""Which channel is which, in and out."""

from typing import Any

import pytest

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.dataset import channel_order, region_order

WT, TC, ET = ("whole tumor", [1, 2, 3]), ("tumor core", [2, 3]), ("enhancing tumor", [3])


def dataset(*regions: tuple[str, Any]) -> dict[str, Any]:
    return {"labels": {"background": 0, **dict(regions)}, "regions_class_order": [1, 2, 3]}


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["T1", "T1ce", "T2", "Flair"], [0, 1, 2, 3]),
        (["FLAIR", "T1w", "t1gd", "T2w"], [1, 2, 3, 0]),
        (["MRI_T2-FLAIR", "T2W", "T1Gd", "t1n"], [3, 2, 1, 0]),
        (["t1n", "t1c", "t2w", "t2f"], [0, 1, 2, 3]),
    ],
)
def test_modalities_are_known_by_name(names: list[str], order: list[int]) -> None:
    assert channel_order({"channel_names": {str(i): name for i, name in enumerate(names)}}, where="d") == order
    assert channel_order({"modality": dict(enumerate(names))}, where="d") == order


def test_ten_channels_are_counted_as_numbers() -> None:
    names = {str(i): "T1" for i in range(11)}
    with pytest.raises(PedsegError, match="among its 11 channels T1, T1"):
        channel_order({"channel_names": names}, where="d")


@pytest.mark.parametrize(
    "names",
    [["a", "b", "c", "d"], ["T1", "T1", "T2", "FLAIR"], ["T1", "T1ce", "T2"], ["T1", "T1ce", "T2", "FLAIR", "X"]],
)
def test_other_channels_are_refused(names: list[str]) -> None:
    with pytest.raises(PedsegError, match="cannot tell t1n, t1c, t2w, t2f"):
        channel_order({"channel_names": {str(i): name for i, name in enumerate(names)}}, where="d")
    with pytest.raises(PedsegError, match="not numbered from 0"):
        channel_order({"channel_names": dict(zip(names, names, strict=True))}, where="d")
    with pytest.raises(PedsegError, match="no channel_names"):
        channel_order({}, where="d")


def test_regions_are_known_by_name() -> None:
    assert region_order(dataset(WT, TC, ET), where="d") == [0, 1, 2]
    assert region_order(dataset(ET, WT, ("Tumour_Core", [1, 3])), where="d") == [1, 2, 0]
    assert region_order(dataset(("TC", [1, 2, 3]), ("ET", 1), ("ignore", 5), ("WT", [1, 2, 3, 4])), where="d") == [
        2,
        0,
        1,
    ]


def test_labels_in_place_of_regions_are_refused() -> None:
    with pytest.raises(PedsegError, match=r"one label per voxel \(edema, necrosis, enhancing\), by a softmax"):
        region_order(dataset(("edema", 1), ("necrosis", 2), ("enhancing", 3)), where="d")
    with pytest.raises(PedsegError, match="no whole numbers"):
        region_order(dataset(("edema", None)), where="d")
    with pytest.raises(PedsegError, match="has no labels"):
        region_order({}, where="d")


def test_regions_must_lie_in_one_another() -> None:
    with pytest.raises(PedsegError, match=r"wt \[1, 2\], tc \[2, 3\], et \[3\] do not lie in one another"):
        region_order(dataset(("WT", [1, 2]), TC, ET), where="d")
    with pytest.raises(PedsegError, match="cannot tell wt, tc, et among its 2 regions"):
        region_order(dataset(WT, ET), where="d")
