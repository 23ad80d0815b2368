"""Typed settings: the schema of conf/."""
