"""Medical images: NIfTI files, nnU-Net's preprocessing and its inverse, integrity of a cohort."""

from pedseg.imaging.nifti import Volume, read_images, read_label, read_volume, write_label_map
from pedseg.imaging.preprocessing import (
    PreparedImage,
    prepare_case,
    prepare_image,
    prepare_label,
    restore_logits,
    restore_regions,
)
from pedseg.imaging.probabilities import restore_probabilities, write_probabilities

__all__ = [
    "PreparedImage",
    "Volume",
    "prepare_case",
    "prepare_image",
    "prepare_label",
    "read_images",
    "read_label",
    "read_volume",
    "restore_logits",
    "restore_probabilities",
    "restore_regions",
    "write_label_map",
    "write_probabilities",
]
