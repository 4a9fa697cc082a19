"""Faust agents between the log and PostgreSQL: decode, call a pure rule, store, acknowledge."""
