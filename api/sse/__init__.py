"""The live feed over server-sent events: resumable, filtered, bounded in memory."""
