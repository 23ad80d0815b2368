"""The printed digits of Fu et al. 2024 (arXiv:2406.16848), Tables 2 and 3, and the names of its models."""

from collections.abc import Mapping

from pedseg.runs import BETWEEN

METRICS = ("mean dice", "mean hd95_mm", "median dice", "median hd95_mm")
REGIONS = ("et", "tc", "wt")  # the paper's order
COLUMNS = tuple((metric, region) for metric in METRICS for region in REGIONS)

EXPERIMENTS: Mapping[str, str] = {
    "m1_adult": "1",
    "m2_ped": "2",
    "m3_mixed": "3",
    "m4_warmup": "4",
    "m5_seg_layers": "5",
    "m6_finetune_all": "6",
    "m7_finetune_encoder": "7",
    "m8_finetune_decoder": "8",
    "m1_adult_nods": "1*",
    "m2_ped_nods": "2*",
    "m3_mixed_nods": "3*",
    "uda": "UDA",
}
ORDER = tuple(EXPERIMENTS.values())

# Table 2 ranks its models "separately based on whether they have access to adult source data for training, or if deep
# supervision was deactivated". We read that as: adult images among the training data (1 and 3), children alone (2, and
# 4-8, which meet adults only through model 1's weights), and without deep supervision (whatever the data).
GROUPS: Mapping[str, tuple[str, ...]] = {
    "trained with adult data": ("1", "3"),
    "trained on children alone": ("2", "4", "5", "6", "7", "8"),
    "without deep supervision": ("1*", "2*", "3*", "UDA"),
}
OTHER = "other models"

_TABLE_2 = """
1   0.583 0.522 0.900 58.77 36.11 4.82 0.742 0.549 0.913 4.12 13.49 3.00
2   0.547 0.872 0.897 62.70 5.53 4.83 0.708 0.915 0.924 6.40 3.61 3.16
3   0.575 0.854 0.908 66.18 9.38 4.22 0.716 0.918 0.927 4.36 3.61 2.83
4   0.579 0.874 0.898 66.30 8.78 4.55 0.713 0.914 0.922 5.39 3.32 3.00
5   0.577 0.852 0.902 52.66 6.42 4.66 0.732 0.895 0.917 5.00 4.47 3.00
6   0.584 0.879 0.906 51.79 5.23 4.26 0.712 0.910 0.922 4.24 3.61 3.00
7   0.582 0.869 0.901 55.25 5.54 4.31 0.702 0.906 0.920 4.47 3.74 3.00
8   0.574 0.875 0.903 62.23 5.65 4.54 0.718 0.908 0.921 5.00 3.74 3.00
1*  0.571 0.526 0.890 59.61 22.25 7.07 0.739 0.555 0.909 4.47 13.49 3.61
2*  0.511 0.855 0.886 50.62 6.24 5.37 0.631 0.909 0.921 7.55 3.74 3.16
3*  0.575 0.861 0.909 45.50 5.47 5.16 0.721 0.905 0.920 5.10 3.74 2.83
UDA 0.580 0.846 0.892 50.87 16.55 8.90 0.713 0.916 0.923 4.24 3.32 3.00
"""
_TABLE_3 = """
1*  0.661 0.543 0.894 27.50 14.75 7.29 0.768 0.522 0.908 3.61 13.49 3.74
2*  0.616 0.857 0.894 14.05 6.36 5.27 0.729 0.900 0.916 5.10 4.24 3.46
3*  0.685 0.863 0.913 12.98 5.74 5.46 0.760 0.902 0.918 3.61 4.12 3.00
UDA 0.660 0.864 0.908 13.22 5.90 5.15 0.757 0.913 0.919 3.16 3.74 3.16
"""


def _parse(table: str) -> dict[str, tuple[str, ...]]:
    rows = (line.split() for line in table.strip().splitlines())
    return {name: tuple(values) for name, *values in rows}


TABLES: Mapping[int, Mapping[str, tuple[str, ...]]] = {2: _parse(_TABLE_2), 3: _parse(_TABLE_3)}


def model_name(experiment: str) -> str:
    """The paper's name of an experiment, of its published file (``model1_nods``), or the name itself."""
    if experiment in EXPERIMENTS:
        return EXPERIMENTS[experiment]
    number = experiment.removeprefix("model").removesuffix("_nods")
    if experiment.startswith("model") and number in ORDER:
        return f"{number}*" if experiment.endswith("_nods") else number
    return experiment


def group_of(name: str) -> str:
    """Group of `GROUPS` that a model is ranked in; ``uda/seed=1`` and ``UDA · tent`` are in that of UDA."""
    base = name.partition(BETWEEN)[0].partition("/")[0]
    known = "UDA" if base.startswith("uda") else model_name(base)
    return next((group for group, names in GROUPS.items() if known in names), OTHER)
