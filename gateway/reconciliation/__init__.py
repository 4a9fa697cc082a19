"""Reconciliation: compares what a fleet published and received with what is stored and what was sent."""
