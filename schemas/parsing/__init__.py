"""One parser per kind of message: every accepted spelling becomes one canonical record."""
