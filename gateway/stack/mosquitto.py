"""Eclipse mosquitto, where it is installed."""

import os
import pwd
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.stack.child_guard import Guard
from gateway.stack.errors import StackError
from gateway.stack.mqtt import mqtt_answers
from gateway.stack.process import Process
from gateway.stack.server import Server

# Packages put it where an ordinary user's PATH often does not reach.
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt/mosquitto/sbin")

_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
log_dest stdout
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
# Saved as a whole, every one to two seconds: what came after the last save is lost when the broker is killed. The other
# way, autosave_on_changes, saves the whole in every round of the broker's loop and leaves it 255 messages a second.
persistence true
persistence_location {folder}/
autosave_interval 1
# Offline sessions keep everything, up to a limit in bytes.
max_queued_messages 0
max_queued_bytes 536870912
max_inflight_messages 1000
max_packet_size 1048576
"""


def find_mosquitto() -> Path | None:
    """The mosquitto program, when there is one."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None


class Mosquitto(Server):
    """The MQTT broker, on loopback."""

    title = "MQTT (mosquitto)"

    def __init__(self, folder: Path, *, port: int, log: Path, guard: Guard, progress: Callable[[str], None]) -> None:
        super().__init__(port, progress)
        self._folder = folder
        self._log = log
        self._guard = guard

    async def _prepare(self) -> Process:
        program = find_mosquitto()
        if program is None:
            raise StackError('mosquitto was not found: install it, or choose mqtt="artemis".')
        self._folder.mkdir(parents=True, exist_ok=True)
        text = _CONFIGURATION.format(port=self.port, folder=self._folder)
        if os.geteuid() == 0:
            # Otherwise it changes to an account of its own, which may not enter the data folder.
            text += f"user {pwd.getpwuid(0).pw_name}\n"
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(text, encoding="utf-8")
        return Process(
            self.title,
            [str(program), "-c", str(configuration)],
            log=self._log,
            guard=self._guard,
            ready=partial(mqtt_answers, self.port),
        )
