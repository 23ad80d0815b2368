"""Scores of whole folders, the paper's tables, statistics and figures."""
