"""Canonical records, and the Kafka topics that carry them."""
