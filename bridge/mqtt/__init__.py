"""The MQTT connection: packets, TLS, subscriptions."""
