"""Runs as a MONAI bundle, which runs with or without pedseg installed."""
