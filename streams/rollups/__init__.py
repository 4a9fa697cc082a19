"""Per-minute aggregates of telemetry, and their topic."""
