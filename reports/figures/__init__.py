"""The figures: seaborn's theme, palette and grids over matplotlib, and one look for every method."""
