"""`gateway openapi` and `gateway asyncapi`: print the descriptions of REST and of the messages."""

import sys


def openapi() -> None:
    """Print the OpenAPI description of the REST API (YAML)."""
    from api.app import openapi_yaml

    sys.stdout.write(openapi_yaml())


def asyncapi() -> None:
    """Print the AsyncAPI description of all MQTT and Kafka messages (YAML)."""
    from gateway.asyncapi.document import describe_messages

    sys.stdout.write(describe_messages())
