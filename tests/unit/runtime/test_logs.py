"""Logs: text for people, JSON for machines, and names of what happened that docs/reference/logs.md lists."""

import ast
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from runtime.logs import json_formatter, text_formatter
from tests.support.paths import ROOT

FOLDERS = ("api", "bridge", "gateway", "migrations", "runtime", "streams")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
LOGGERS = {"logger", "_log", "logging"}
ROW = re.compile(r"^\| `([a-z_]+)` \| (?:debug|info|warning|error|critical) \|", re.MULTILINE)

SAY = """
import logging, sys
from runtime.logs import configure_logging
configure_logging("bridge")
logging.getLogger("bridge.main").warning("%s is lost", "all", extra={"action": "mqtt_lost", "ven_id": "ven-é"})
"""


CRASH = """
import sys, bridge.main, gateway.cli
async def crash(config, stop):
    raise ZeroDivisionError("on purpose")
bridge.main.run_bridge = crash
sys.argv = ["gateway", "bridge"]
gateway.cli.main()
"""
BRIDGE = {"MQTT_ENABLED": "false", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if (
                        name in LOGGERS and attr in LEVELS
                    ):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def names_in(source: str) -> set[str]:
    """The names that a file may give to what happened: texts beside the key `action`, or handed to a helper."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "action" and isinstance(value, ast.Constant):
                    found.add(str(value.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_warn":
            found.add(str(node.args[-1].value))  # type: ignore[attr-defined]
    return found


def test_every_line_of_ours_has_a_name() -> None:
    found = list(calls())
    assert len(found) > 50
    assert [where for where, call in found if not any(keyword.arg == "extra" for keyword in call.keywords)] == []


def test_every_name_is_documented_and_no_other() -> None:
    given = {
        name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") for name in names_in(path.read_text())
    }
    listed = ROW.findall((ROOT / "docs" / "reference" / "logs.md").read_text())
    assert len(listed) == len(set(listed))
    assert set(listed) == given


def said(script: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOG_")}
    return subprocess.run(
        [sys.executable, "-c", script], env=env | settings, cwd=ROOT, capture_output=True, text=True, check=False
    )


def one_object(text: str) -> dict[str, Any]:
    (line,) = text.splitlines()
    read: dict[str, Any] = json.loads(line)
    return read


def test_what_no_terminal_reads_is_json() -> None:
    line = one_object(said(SAY).stderr)
    at = datetime.fromisoformat(line.pop("time"))
    assert at.utcoffset() == timedelta(0)
    assert line == {
        "level": "WARNING",
        "logger": "bridge.main",
        "process": "bridge",
        "action": "mqtt_lost",
        "message": "all is lost",
        "ven_id": "ven-é",
    }


def test_a_terminal_is_shown_text() -> None:
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOG_")}
    subprocess.run([sys.executable, "-c", SAY], env=env, cwd=ROOT, stderr=theirs, check=True)
    os.close(theirs)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} bridge WARNING bridge\.main: all is lost\s*",
        os.read(ours, 4096).decode(),
    )
    os.close(ours)


def test_what_is_set_counts_wherever_it_goes() -> None:
    assert "bridge WARNING bridge.main: all is lost" in said(SAY, LOG_FORMAT="TEXT").stderr
    assert said(SAY, LOG_FORMAT="json", LOG_LEVEL="error").stderr == ""


@pytest.mark.parametrize(("name", "value"), [("LOG_FORMAT", "xml"), ("LOG_LEVEL", "loud")])
def test_a_setting_that_is_none_is_named(name: str, value: str) -> None:
    assert f"{name}: Input should be" in said(SAY, **{name: value}).stderr


def test_a_crash_is_one_line_too() -> None:
    ended = said(CRASH, LOG_FORMAT="json", **BRIDGE)
    line = one_object(ended.stderr)
    assert ended.returncode == 1
    assert (line["action"], line["level"], line["process"]) == ("process_crashed", "CRITICAL", "bridge")
    assert line["message"] == "ended by an error: on purpose"
    assert "ZeroDivisionError" in line["exception"]
    assert said(CRASH, LOG_FORMAT="text", **BRIDGE).stderr.startswith("Traceback")


def test_whatever_is_in_a_message_stays_one_line() -> None:
    record = logging.makeLogRecord({"msg": 'a\nb "c" \ud800', "extra_thing": object(), "action": "mqtt_lost"})
    line = json_formatter("test").format(record)
    assert "\n" not in line
    line.encode("utf-8", "backslashreplace")
    assert json.loads(line)["action"] == "mqtt_lost"


def test_text_of_others_begins_no_line_and_commands_no_terminal() -> None:
    record = logging.makeLogRecord({"msg": "%s was refused", "args": ("a\n2026 api CRITICAL\x1b[2J\u202e",)})
    assert text_formatter("test").format(record).endswith(": a\\n2026 api CRITICAL\\x1b[2J\\u202e was refused")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        record = logging.makeLogRecord({"msg": "é failed", "exc_info": sys.exc_info()})
    first, second, *_ = text_formatter("test").format(record).splitlines()
    assert first.endswith("é failed")
    assert second.startswith("Traceback")
