"""The picture that may be sent to a logger."""

import torch

from pedseg.callbacks.images import slice_picture


def test_three_panels_of_the_slice_with_the_most_tumour() -> None:
    image = torch.zeros(4, 3, 5, 6)
    image[3] = torch.arange(3.0)[:, None, None]  # each slice has its own grey
    image[3, :, 0, 0] = 4.0
    label = torch.zeros(3, 3, 5, 6, dtype=torch.bool)
    label[0, 1, 2:4, 2:4] = True
    label[2, 1, 2, 2] = True
    picture = slice_picture(image, label, torch.zeros_like(label))
    assert picture.shape == (5, 18, 3)
    grey = picture[4, 0].tolist()
    assert grey == [0, 0, 0]  # slice 1 was taken: its own value is its minimum
    assert picture[2, 6 + 2].tolist() == [127, 0, 127]  # label panel: WT red, ET blue
    assert picture[3, 6 + 3].tolist() == [127, 0, 0]
    assert (picture[:, 12:] == picture[:, :6]).all()  # an empty prediction leaves the image


def test_ignored_voxels_are_shown_on_neither_side() -> None:
    image = torch.zeros(4, 1, 2, 3)
    label = torch.zeros(4, 1, 2, 3, dtype=torch.bool)
    label[0, 0, 0, :2] = True
    label[3, 0, 0, 0] = True
    picture = slice_picture(image, label, torch.ones(3, 1, 2, 3, dtype=torch.bool))
    assert picture[0, 3].tolist() == picture[0, 6].tolist() == [0, 0, 0]
    assert picture[0, 4].tolist() == [127, 0, 0]
    assert picture[0, 7].tolist() == [127, 127, 127]
