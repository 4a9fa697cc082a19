"""The commands as a newcomer runs them."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import httpx
import pytest

from gateway.local.system import System
from gateway.stack.polling import wait_until
from streams.roles import ROLES


async def gateway(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdout=PIPE,
        stderr=PIPE,
    )


async def outcome(process: Process) -> tuple[int | None, str, str]:
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


# They start systems of their own.
pytestmark = pytest.mark.timeout(400)


async def test_demo_with_an_end_prints_json_and_succeeds(tmp_path: Path) -> None:
    # The topics of somebody's own devices are nothing to the fleet of the demo.
    (tmp_path / ".env").write_text("MQTT_TOPIC_METERING=site/+/power\n")
    arguments = ("--vens", "40", "--interval", "1", "--seconds", "8", "--json")
    env = {"BACKEND_LOADS_TOPIC": ""}
    code, out, err = await outcome(await gateway("demo", *arguments, env=env, cwd=tmp_path))
    assert code == 0, err
    figures = json.loads(out)
    assert figures["published"] == figures["accepted"] == figures["stored"] > 40
    assert figures["lost"] == figures["duplicated"] == 0
    meters = figures["meters"]
    assert (meters["missing"], meters["unknown"], meters["wrong"], meters["unexplained"]) == (0, 0, 0, 0)
    assert figures["dead_lettered"] == sum(meters["dead_letters"].values()) > 0
    assert figures["online_vens"] >= 40
    assert figures["event"] is None
    assert "it starts after 20 s and needs --seconds 35 or more" in " ".join(err.split())


async def test_demo_shows_one_complete_dr_event(tmp_path: Path) -> None:
    arguments = ("--vens", "40", "--interval", "1", "--seconds", "45", "--no-meters", "--json")
    code, out, err = await outcome(await gateway("demo", *arguments, cwd=tmp_path))
    assert code == 0, err
    event = json.loads(out)["event"]
    assert event["status"] == "completed"
    assert 0 < event["reduced_kw"] < event["requested_kw"]
    # It is to last for 15 s, less what it takes to create it.
    lasted = event["delivered_kwh"] / event["reduced_kw"] * 3600
    assert 10 < lasted < 15.001
    funnel = event["funnel"]
    assert funnel["targeted"] == funnel["sent"] == event["vens"] == 40
    # Of the preset: one refuses, two are silent.
    assert (funnel["refused"], funnel["acknowledged"]) == (1, 37)
    assert event["reconciliation"] == {
        "commanded": 40,
        "restored": 40,
        "repeated": 0,
        "missed": 0,
        "unrestored": 0,
    }
    assert "can be shed" in err
    assert "37 acknowledged, 1 refused" in " ".join(err.split())


async def test_ctrl_c_ends_demo_within_ten_seconds(tmp_path: Path) -> None:
    begun = time.monotonic()
    process = await gateway("demo", "--vens", "20", "--data", str(tmp_path / "data"))
    assert process.stdout is not None
    shown = b""
    try:
        async with asyncio.timeout(180):
            while b"online" not in shown:
                shown += await process.stdout.read(4096) or pytest.fail("the demo ended by itself")
    finally:
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        code, _, err = await outcome(process)
    assert (code, err) == (0, "")
    # On a machine that is busy with other things: in half the time that it took to come up.
    assert time.monotonic() - asked < max(10, (asked - begun) / 2)


async def test_up_writes_its_addresses_and_keeps_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    sample = tmp_path / "sample.jsonl"
    payload = json.dumps({"venId": "ven-up", "timestamp": int(time.time()), "usedPowerKw": 1.0})
    # A topic that is no default of the bridge, and one of `up`.
    message = {"t": 0, "topic": "ven/telemetry/ven-up", "qos": 1, "retain": False, "payload": payload}
    sample.write_text(json.dumps(message) + "\n")
    for first in (True, False):
        process = await gateway("up", "--data", str(data))
        try:
            assert await wait_until(lambda: _answers(data), timeout=120, every=0.2)
            where = json.loads((data / "endpoints.json").read_text())
            settings = (data / "gateway.env").read_text()
            assert f"MQTT_PORT={where['mqtt_port']}" in settings
            assert "MQTT_TOPICS=ven/telemetry/+" in settings
            assert (data / "gateway.env").stat().st_mode & 0o077 == 0
            assert where.keys() == {"api", "mqtt_host", "mqtt_port", "kafka", "postgres"}
            health = json.loads((data / "health.json").read_text())
            assert health.keys() == {"bridge", "streams-validate", "streams-sink", "streams-live", "api"}
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                assert all([(await client.get(f"{each}/health/live")).is_success for each in health.values()])
            if first:
                address = f"{where['mqtt_host']}:{where['mqtt_port']}"
                code, _, err = await outcome(await gateway("simulate", "--mqtt", address, "--replay", str(sample)))
                assert code == 0, err
            assert await wait_until(lambda where=where: _has_ven(where["api"]), timeout=60, every=0.2)  # type: ignore[misc]
        finally:
            process.send_signal(signal.SIGTERM)
            code, _, err = await outcome(process)
        assert code == 0, err
        (data / "endpoints.json").unlink()


async def _answers(data: Path) -> bool:
    return (data / "endpoints.json").exists()


async def _has_ven(api: str) -> bool:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        return (await client.get(f"{api}/api/vens/ven-up")).is_success


def settings_of(system: System) -> dict[str, str]:
    return {**system.stack.environment(), "API_PORT": "8000"}


async def test_doctor_passes_on_a_running_system(system: System, tmp_path: Path) -> None:
    code, out, err = await outcome(await gateway("doctor", env=settings_of(system), cwd=tmp_path))
    assert code == 0, out + err
    assert "✗" not in out


async def test_doctor_fails_on_a_broken_system(system: System, tmp_path: Path) -> None:
    env = {**settings_of(system), "DB_NAME": "nowhere"}
    code, out, err = await outcome(await gateway("doctor", env=env, cwd=tmp_path))
    assert code == 1
    (finding,) = [line for line in out.splitlines() if line.startswith("✗")]
    assert "DB_NAME" in finding
    assert "Traceback" not in err


async def test_a_process_names_its_missing_settings(tmp_path: Path) -> None:
    bare = {name: "" for name in os.environ if name.startswith(("DB_", "KAFKA_", "MQTT_"))}
    for command in (("bridge",), ("streams",), ("streams", "sink"), ("api",), ("migrate",), ("topics",)):
        code, _, err = await outcome(await gateway(*command, env=bare, cwd=tmp_path))
        assert code == 1, command
        assert "is not set" in err
        assert "Traceback" not in err, err
    # All of it at once: of every block of settings, and of each all that is missing.
    code, _, err = await outcome(await gateway("bridge", env=bare, cwd=tmp_path))
    assert all(f"{name} is not set" in err for name in ("MQTT_HOST", "MQTT_PORT", "KAFKA_BOOTSTRAP_SERVERS"))


@pytest.mark.parametrize(
    ("command", "env", "said"),
    [
        (("api",), {"API_PORT": "{api}"}, "API_PORT"),
        (("doctor",), {"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        (("api",), {"DB_SSLMODE": "verify-full", "DB_SSLROOTCERT": "/nowhere.pem"}, "DB_SSLROOTCERT"),
        (("topics", "--wait", "1"), {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "KAFKA_BOOTSTRAP_SERVERS"),
        (("simulate", "--mqtt", "localhost:99999"), {}, "HOST:PORT"),
        (("streams", "sink"), {"DB_PORT": "x"}, "DB_PORT"),
    ],
)
async def test_an_error_is_one_sentence_that_names_the_cause(
    system: System, tmp_path: Path, command: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    taken = {name: value.replace("{api}", system.api.rsplit(":", 1)[1]) for name, value in env.items()}
    code, _, err = await outcome(await gateway(*command, env={**settings_of(system), **taken}, cwd=tmp_path))
    assert code == 1
    (sentence,) = [line for line in err.splitlines() if line.startswith("gateway: ")]
    assert said in sentence
    assert "Traceback" not in err


async def test_bench_ingest_reconciles_and_prints_ratios() -> None:
    load = ("--messages", "2000", "--vens", "50")
    code, out, err = await outcome(await gateway("bench", "ingest", *load, "--baseline", "--json"))
    assert code == 0, err
    figures = json.loads(out)
    assert figures["lost"] == figures["duplicated"] == 0
    for side in (figures, figures["baseline"]):
        assert side["messages_per_s"] > 0
        assert side["cpu_s_per_million"] == pytest.approx(
            sum(cost["cpu_s_per_million"] for cost in side["processes"].values()), abs=1
        )
        assert all(cost["peak_mb"] > 0 for cost in side["processes"].values())
    ours = {"kafka", "api", "bridge", *(f"streams-{role}" for role in ROLES)}
    assert set(figures["processes"]) - set(figures["baseline"]["processes"]) == ours
    assert figures["ratio_cpu"] > 0
    assert figures["ratio_rate"] > 0
    assert figures["bytes_per_message"] > 0


async def test_bench_api_gets_responses() -> None:
    fleet = ("--vens", "100", "--readings", "1000", "--loads", "1", "--requests", "10", "--grow-to", "2000")
    code, out, err = await outcome(await gateway("bench", "api", *fleet, "--json"))
    assert code == 0, err
    figures = json.loads(out)
    assert all(timing["p95_ms"] > 0 for timing in figures["calls"].values())
    assert figures["ratio"] > 0


async def test_bench_events_commands_every_ven_once() -> None:
    code, out, err = await outcome(await gateway("bench", "events", "--vens", "50", "--json"))
    assert code == 0, err
    figures = json.loads(out)
    assert figures["vens"] == 50
    assert figures["cpu_s"]["bridge"] >= 0
    assert 0 < figures["steps"]["decided"]["p50_s"] <= figures["last_command_s"] < 30
    assert figures["steps"].keys() == {"decided", "logged", "sending", "sent", "on_the_wire", "answered"}


@pytest.mark.parametrize("command", [("bridge",), ("streams", "validate"), ("topics",)])
async def test_a_process_that_waits_for_kafka_stops_on_sigterm(tmp_path: Path, command: tuple[str, ...]) -> None:
    nowhere = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "MQTT_ENABLED": "true", "MQTT_HOST": "127.0.0.1"}
    env = {**nowhere, "MQTT_PORT": "1", "MQTT_USE_TLS": "false", "SHUTDOWN_TIMEOUT": "1", "BRIDGE_HEALTH_PORT": "0"}
    process = await gateway(*command, env=env, cwd=tmp_path)
    assert process.stderr is not None
    seen = b""
    while b"Kafka does not answer" not in seen:
        seen += await process.stderr.readline() or pytest.fail("it ended by itself")
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    code, _, err = await outcome(process)
    assert time.monotonic() - asked < 20
    assert code == 1
    assert "stopped before all work was done" in err
    assert "Traceback" not in err
