"""A system does not begin where another one answers: what is shown would be the figures of that one."""

import socket
from pathlib import Path

import pytest

from gateway.local.system import System
from gateway.stack import StackError


@pytest.mark.parametrize("given", [True, False], ids=["as a setting", "in the environment"])
async def test_taken_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool) -> None:  # noqa: FBT001
    with socket.create_server(("127.0.0.1", 0)) as other:
        asked = {"API_PORT": str(other.getsockname()[1])}
        if not given:
            monkeypatch.setenv("API_PORT", asked["API_PORT"])
        system = System(tmp_path / "data", settings=asked if given else {})
        with pytest.raises(StackError, match=f"Port {asked['API_PORT']} is taken"):
            await system.start()
    # Nothing was started.
    assert not (tmp_path / "data").exists()
