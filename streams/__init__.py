"""Faust agents between Kafka and PostgreSQL: decode, call a pure rule, store, acknowledge."""
