"""One parser for each kind of message: every accepted spelling becomes one canonical record."""
