"""Frozen states that are computed once."""
