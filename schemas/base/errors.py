"""The root of all errors that a person can correct."""


class GatewayError(Exception):
    """The message is one sentence that says what is wrong and what to do; commands print it and exit with 1."""
