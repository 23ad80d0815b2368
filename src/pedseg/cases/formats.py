"""What lies where NIfTI files are expected and is none: images in other formats, archives, pipes and devices."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pedseg.cases.naming import nifti_stem
from pedseg.cases.table import ENDINGS as TABLES
from pedseg.errors import PedsegError
from pedseg.files import kind_of, open_regular

DICOM: Final = "DICOM"
_ITK = "convert it: c3d {path} -o {stem}.nii.gz (Convert3D), or SimpleITK's ReadImage and WriteImage"
_NIBABEL = "convert it: nib-convert {path} {stem}.nii.gz (nibabel)"
_DCM = "convert it: dcm2niix -z y -o FOLDER {folder}"
_FORMATS: Final[Mapping[str, tuple[str, str]]] = {  # ending → what it is, and what makes a NIfTI file of it
    ".nrrd": ("NRRD", _ITK),
    ".nhdr": ("NRRD", _ITK),
    ".mha": ("MetaImage", _ITK),
    ".mhd": ("MetaImage", _ITK),
    ".hdr": ("a pair of .hdr and .img", _NIBABEL),
    ".img": ("a pair of .hdr and .img", _NIBABEL),
    ".img.gz": ("a pair of .hdr and .img", "unpack it: gunzip {path}"),
    ".mgz": ("FreeSurfer's MGH", _NIBABEL),
    ".mgh": ("FreeSurfer's MGH", _NIBABEL),
    ".mnc": ("MINC", _NIBABEL),
    ".dcm": (DICOM, _DCM),
    ".ima": (DICOM, _DCM),
    ".nii.zip": ("a packed NIfTI file", "unpack it: unzip {path}"),
    ".nii.bz2": ("a packed NIfTI file", "unpack it: bunzip2 {path}"),
    ".nii.xz": ("a packed NIfTI file", "unpack it: unxz {path}"),
    ".nii.zst": ("a packed NIfTI file", "unpack it: unzstd {path}"),
    **{
        f".nii{unfinished}": ("a download that was cut off", "fetch it again")
        for ending in ("", ".gz")
        for unfinished in (f"{ending}.partial", f"{ending}.part", f"{ending}.crdownload", f"{ending}.download")
    },
}
_ARCHIVES: Final[Mapping[str, str]] = {
    ".tar": "tar -xf", ".tar.gz": "tar -xf", ".tgz": "tar -xf", ".tar.bz2": "tar -xf", ".tar.xz": "tar -xf",
    ".zip": "unzip", ".7z": "7z x", ".rar": "unrar x",
}  # fmt: skip


def _ending(name: str, endings: Mapping[str, object]) -> str | None:
    """The longest of the endings that a name has."""
    fitting = [ending for ending in endings if name.lower().endswith(ending) and len(name) > len(ending)]
    return max(fitting, key=len, default=None)


def foreign_stem(name: str) -> str | None:
    """Name of an image in another format without its ending; None for other files."""
    ending = _ending(name, _FORMATS)
    return name[: -len(ending)] if ending else None


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive of files."""
    return _ending(name, _ARCHIVES) is not None and foreign_stem(name) is None


def unpacking(path: Path | str) -> str:
    """A command that unpacks an archive."""
    ending = _ending(str(path), _ARCHIVES)
    return f"{_ARCHIVES[ending or '.tar']} {path}"


def told(path: Path) -> tuple[str, str]:
    """Of an image in another format what it is, and what to do about it."""
    ending = _ending(path.name, _FORMATS)
    what, how = _FORMATS[ending or ".dcm"]
    stem = foreign_stem(path.name) or path.name
    return f"is {what}, and NIfTI is read", how.format(path=path.name, stem=stem, folder=path.parent)


def is_dicom(path: Path) -> bool:
    """Whether a file without an ending begins as a DICOM file does (PS3.10: "DICM" after 128 bytes)."""
    try:
        with open_regular(path) as file:
            return file.read(132)[128:] == b"DICM"
    except (PedsegError, OSError):
        return False


def not_a_folder(path: Path, *, cohort: str) -> PedsegError:
    """Why the cases of a cohort cannot be found at `path`, which is neither a folder nor a table."""
    fix = f"give the folder that holds the cases of cohort {cohort!r}, or a table of them ({', '.join(TABLES)})"
    try:
        mode = path.stat().st_mode
    except OSError:
        return PedsegError(f"{path}: no such folder; {fix}")
    if is_archive(path.name):
        return PedsegError(f"{path}: is an archive; unpack it ({unpacking(path)}) and {fix}")
    if foreign_stem(path.name):
        what, how = told(path)
        return PedsegError(f"{path}: {what}; {how}, and {fix}")
    what = "one image" if nifti_stem(path.name) else f"a {kind_of(mode)}" if not stat.S_ISREG(mode) else "no folder"
    return PedsegError(f"{path}: is {what}; {fix}")
