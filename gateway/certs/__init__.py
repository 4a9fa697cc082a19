"""A private certificate authority for a small installation."""
