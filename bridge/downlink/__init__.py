"""Commands from Kafka to the MQTT broker; each attempt is sent at most once."""
