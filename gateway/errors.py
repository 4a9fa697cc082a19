"""What `gateway` cannot do."""


class CommandError(Exception):
    """One plain sentence that says what is wrong and what to do."""
