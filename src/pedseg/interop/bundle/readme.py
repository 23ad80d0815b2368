"""docs/README.md of a MONAI bundle."""

from collections.abc import Iterable, Sequence

from pedseg import __version__
from pedseg.inference import LoadedNetwork
from pedseg.interop.bundle.config import CHANNELS, INTENDED_USE, REGIONS
from pedseg.interop.portable import NORMALISATION
from pedseg.labels import CONVENTIONS

RUN = "python -m monai.bundle run --config_file configs/inference.json --dataset_dir {cases} --output_dir {output}"
_TEXT = """\
# Glioma segmentation in brain MRI

{intended_use}

Exported by pedseg {version}. {count} segment{s} glioma in brain MRI of four modalities: {title}.
`scripts/pedseg` holds the parts of pedseg that prediction needs, so pedseg itself need not be installed, and a version
that is installed is not used.

## Run

    pip install {packages}
    cd BUNDLE
    {command}

Each case becomes `<case id>.nii.gz` in the output folder, on the grid of its images. Settings follow as
`--name value`:

| name | default | meaning |
|---|---|---|
| `dataset_dir` | `cases` | folder of cases, in a folder each or side by side |
| `output_dir` | `eval` | folder for label maps; those that are there already are kept |
| `convention` | `{convention}` | voxel labels to write: {conventions} |
| `step` | 0.5 | distance of windows in patches |
| `mirror` | True | average over mirrored windows; False is up to 8 times faster |
| `precision` | 32 | or bf16 |
| `window_batch` | 1 | windows per forward pass |
| `device` | a GPU if there is one | cuda or cpu |
| `overwrite` | False | predict cases again that have a label map |
| `bundle_root` | `.` | folder of this bundle, when run from another one |

With these settings the label maps are those of `pedseg predict --precision 32`.

## Input

Skull-stripped images of {spacing} mm (z, y, x), registered to each other; other voxel sizes are resampled. A NIfTI file
for each modality: `<case>-t1n.nii.gz` and so on, or as BraTS up to 2021, nnU-Net or the Decathlon name them.

{channels}

Files hold intensities as they were measured; they are normalised here. Normalisation of
{normalisation}.

## Networks

{models}

Each file is a state dict of the network that `network_def` in `configs/inference.json` builds. The logits of several
are averaged. A window has {patch} voxels (z, y, x). The outputs are logits of overlapping regions; a voxel belongs to
a region where its logit is above 0.

{regions}

## Licence

The sources in `scripts` are under the Apache License 2.0 (`LICENSE`). The terms of the weights are for those to say
who trained them, and depend on the data they were trained on.
"""


def readme(member: LoadedNetwork, *, models: Sequence[str], convention: str, packages: Iterable[str]) -> str:
    """Describe a bundle in Markdown.

    Args:
        member: one of its networks.
        models: files of the weights.
        convention: voxel labels that it writes unless told otherwise.
        packages: what to install, with bounds.
    """
    several = len(models) > 1
    return _TEXT.format(
        intended_use=INTENDED_USE,
        version=__version__,
        count=f"{len(models)} networks" if several else "A network",
        s="" if several else "s",
        title=member.network.title,
        packages=" ".join(f"'{package}'" for package in packages),
        command=RUN.format(cases="CASES", output="LABEL_MAPS"),
        convention=convention,
        conventions=", ".join(CONVENTIONS),
        spacing=" × ".join(f"{size:g}" for size in member.spacing_mm),
        channels=_list(CHANNELS.values()),
        normalisation=NORMALISATION.replace(". ", ".\n"),
        models=_list(f"`{model}`" for model in models),
        patch=" × ".join(map(str, member.patch_size)),
        regions=_list(REGIONS.values()),
    )


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
