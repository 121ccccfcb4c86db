"""Data sets are fetched and checked."""
