"""The AsyncAPI 3.0 document of all MQTT and Kafka messages, generated from the types in `schemas`."""
