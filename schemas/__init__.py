"""What things are: records, topics, tables and settings. No I/O, and nothing of ours is imported here."""
