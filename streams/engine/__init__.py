"""Faust over fetched batches: consuming and publishing."""
