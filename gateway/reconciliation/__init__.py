"""What was accepted held against what was stored: telemetry and DR events."""
