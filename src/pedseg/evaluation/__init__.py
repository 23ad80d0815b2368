"""Scores of label maps against labels, and post-processing that is judged by them."""
