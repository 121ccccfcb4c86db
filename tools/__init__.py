"""Programs for maintainers: what a user of the bench never needs to call."""
