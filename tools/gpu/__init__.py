"""One command that tells the truth about a GPU: `python -m tools.gpu` (see `__main__`)."""
