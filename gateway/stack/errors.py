"""What goes wrong with the local stack, in words for the person at the terminal."""

from schemas.base.errors import GatewayError


class StackError(GatewayError):
    """The local stack cannot do what was asked; the message is one plain sentence that says what to do."""
