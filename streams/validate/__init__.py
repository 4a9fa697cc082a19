"""Role `validate`: raw messages become canonical records or dead letters."""
