"""Runs, weights, folds and label maps to and from other software."""
