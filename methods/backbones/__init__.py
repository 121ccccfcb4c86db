"""Backbones by name, and their weight files."""
