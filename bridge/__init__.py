"""MQTT to Kafka and back: the broker gets its PUBACK after Kafka has stored a message."""
