"""Ports on loopback, stored with the data: reused if they are free, else replaced."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from gateway.stack.errors import StackError

# Below the ranges from which Linux (32768 on) and macOS (49152 on) serve outgoing connections. A port from there could
# be taken by any client while its server is down, even by a client that tries to reconnect to that very port.
_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200


def reserve_ports(file: Path, names: Iterable[str]) -> dict[str, int]:
    """Return a free port for each name, if possible the one stored in `file`, and store them there."""
    remembered = _read(file)
    chosen: dict[str, int] = {}
    for name in names:
        port = remembered.get(name)
        chosen[name] = port if port is not None and is_free(port) else _free_port(taken=set(chosen.values()))
    file.write_text(json.dumps(remembered | chosen, indent=2) + "\n", encoding="utf-8")
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of an earlier run in TIME_WAIT do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port(taken: set[int]) -> int:
    for port in random.sample(_RANGE, _ATTEMPTS):
        if port not in taken and is_free(port):
            return port
    raise StackError(
        f"No free port was found between {_RANGE.start} and {_RANGE.stop}: end some of the programs that listen there."
    )


def _read(file: Path) -> dict[str, int]:
    if not file.exists():
        return {}
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError) as error:
        raise StackError(f"{file} is not readable: remove it, and new ports will be chosen.") from error
