"""Image lists and folders are found and read."""
