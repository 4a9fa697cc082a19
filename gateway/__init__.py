"""The front door: the `gateway` command, and what it needs to bring the whole system up on one machine."""
