"""Synthetic adult and paediatric glioma cohorts in the layout of BraTS 2023."""

from pedseg.phantom.anatomy import Anatomy, Atlas, Grid, brats_grid, load_atlas
from pedseg.phantom.cohort import CohortSettings, PhantomCase, build_case, make_cohort
from pedseg.phantom.sizes import SIZE_MODELS, Sizes, draw_sizes, kolmogorov_smirnov

__all__ = [
    "SIZE_MODELS",
    "Anatomy",
    "Atlas",
    "CohortSettings",
    "Grid",
    "PhantomCase",
    "Sizes",
    "brats_grid",
    "build_case",
    "draw_sizes",
    "kolmogorov_smirnov",
    "load_atlas",
    "make_cohort",
]
