"""Segmentation metrics on arrays, by the definitions of the BraTS 2023 evaluation."""

from pedseg.metrics.lesionwise import LesionScores, score_lesions
from pedseg.metrics.overlap import Counts, count_voxels, dice, sensitivity, specificity
from pedseg.metrics.scoring import RegionScore, score_case
from pedseg.metrics.surface import hausdorff_distance_mm, surface_area_table

__all__ = [
    "Counts",
    "LesionScores",
    "RegionScore",
    "count_voxels",
    "dice",
    "hausdorff_distance_mm",
    "score_case",
    "score_lesions",
    "sensitivity",
    "specificity",
    "surface_area_table",
]
