"""MQTT to the log: every message that the broker delivers is in the log before the broker is told so."""
