"""DR events and commands: their life cycles and the payloads sent to VENs."""
