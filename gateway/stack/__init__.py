"""The local stack: real servers on loopback for the demo and the tests, without Docker, root or a system Java."""

try:
    from gateway.stack.errors import StackError
    from gateway.stack.local import LocalStack
    from gateway.stack.process import Process
    from gateway.stack.server import Server
except ModuleNotFoundError as missing:
    raise ImportError(
        f"The local stack needs {missing.name}: install it with pip install 'grid-event-gateway[stack]'."
    ) from missing

__all__ = ["LocalStack", "Process", "Server", "StackError"]
