"""What goes wrong with the local stack, in words for the person at the terminal."""

from gateway.errors import CommandError


class StackError(CommandError):
    """The local stack cannot do what was asked; the message is one plain sentence that says what to do."""
