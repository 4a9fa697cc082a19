"""DR events: dispatch of commands, their evidence, and settlement."""
