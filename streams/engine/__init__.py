"""Faust over fetched batches: consuming, publishing and leader election."""
