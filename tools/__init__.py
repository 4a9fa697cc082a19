"""Maintainers' tools: the licence list, the bill of materials, and the lock file of the jars. Not part of the wheel."""
