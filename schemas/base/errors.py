"""The root of what goes wrong in ways that a person can mend."""


class GatewayError(Exception):
    """One plain sentence that says what is wrong and what to do; commands print it and exit with 1."""
