"""Scores that choose among trained runs without a label of the target."""
