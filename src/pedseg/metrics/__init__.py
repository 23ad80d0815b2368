"""Segmentation metrics on arrays, by named definitions."""

from pedseg.metrics.areas import surface_area_table
from pedseg.metrics.definitions import DEFINITIONS, Definition, check_rules, get_definition
from pedseg.metrics.errors import EXTRA, MISSED, OTHER_TISSUE, error_map
from pedseg.metrics.lesions import connected_parts
from pedseg.metrics.lesionwise import LesionScores, score_lesions
from pedseg.metrics.overlap import Counts, count_voxels, dice, sensitivity, specificity
from pedseg.metrics.scoring import RegionScore, score_case
from pedseg.metrics.surface import (
    SurfaceDistances,
    border_distances,
    hausdorff_mm,
    mean_surface_dice,
    pooled_hausdorff_mm,
    surface_dice,
    surface_distances,
)

__all__ = [
    "DEFINITIONS",
    "EXTRA",
    "MISSED",
    "OTHER_TISSUE",
    "Counts",
    "Definition",
    "LesionScores",
    "RegionScore",
    "SurfaceDistances",
    "border_distances",
    "check_rules",
    "connected_parts",
    "count_voxels",
    "dice",
    "error_map",
    "get_definition",
    "hausdorff_mm",
    "mean_surface_dice",
    "pooled_hausdorff_mm",
    "score_case",
    "score_lesions",
    "sensitivity",
    "specificity",
    "surface_area_table",
    "surface_dice",
    "surface_distances",
]
