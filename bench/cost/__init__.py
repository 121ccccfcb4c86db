"""Planned and measured memory, FLOPs, speed and budgets."""
