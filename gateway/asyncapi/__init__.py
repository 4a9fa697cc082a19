"""The description of everything that goes over MQTT and the log (AsyncAPI 3.0), made of the records in `schemas`."""
