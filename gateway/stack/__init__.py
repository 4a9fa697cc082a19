"""The local stack: real servers on loopback for the demo and the tests, without Docker, root or a system Java."""

try:
    from gateway.stack.errors import StackError
    from gateway.stack.local import LocalStack, MqttBroker
    from gateway.stack.process import Process
    from gateway.stack.server import Server
except ModuleNotFoundError as missing:
    raise ImportError(
        f"the local stack needs {missing.name}; install it with: pip install 'grid-event-gateway[stack]'"
    ) from missing

__all__ = ["LocalStack", "MqttBroker", "Process", "Server", "StackError"]
