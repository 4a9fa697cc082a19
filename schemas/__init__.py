"""Records, topics, tables and settings. No I/O; imports no other folder of this project."""
