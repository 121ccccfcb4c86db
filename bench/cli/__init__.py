"""Words of a command line become requests; answers become screens."""
