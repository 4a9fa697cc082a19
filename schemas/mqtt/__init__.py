"""MQTT topics: filters, routing to message kinds, subscriptions."""
