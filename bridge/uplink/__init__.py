"""Messages from the MQTT broker to Kafka, acknowledged in order after Kafka has them."""
