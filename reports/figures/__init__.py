"""The figures: seaborn's theme, palette and grids over matplotlib, and one look for every method."""

import sys

import matplotlib as mpl

if "matplotlib.pyplot" not in sys.modules:  # else whoever imported it, as in a notebook, has chosen a backend
    mpl.use("agg")  # seaborn's grids are made by pyplot, which must open no window
