"""The drawn images of the embedded suite."""
