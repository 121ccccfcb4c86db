"""The one error that a user's words can cause; importing it costs nothing."""

__all__ = ["UsageError"]


class UsageError(Exception):
    """The call cannot be carried out; the message is one sentence that says what to do."""
