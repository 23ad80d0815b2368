"""Files stored in other axes: the same voxels in the same places."""

from pathlib import Path

import nibabel as nib
import numpy as np


def turn(path: Path, code: str) -> None:
    """Store a file in the axes that `code` names, such as RAS."""
    image = nib.load(path)
    wanted = nib.orientations.axcodes2ornt(code)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine, dtype=image.get_data_dtype()), path)
