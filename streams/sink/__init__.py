"""Role `sink`: canonical records become rows."""
