"""Commands from the log to the MQTT broker, each sent once."""
