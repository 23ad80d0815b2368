"""Unsupervised domain adaptation for 3-D brain tumour segmentation, from adult to paediatric glioma."""

__version__ = "0.2.0"
