"""Messages from the MQTT broker to the log, acknowledged in order."""
