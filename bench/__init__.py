"""HOW: runs, trains, measures."""
