"""Figures of a report, one module each."""
