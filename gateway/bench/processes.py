"""The processes of a system, and their CPU time and memory."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from gateway.local.system import System
from gateway.stack import LocalStack


def servers(stack: LocalStack) -> dict[str, psutil.Process]:
    """Return the running servers, by name."""
    pids = {"kafka": stack.kafka.pid, "postgres": stack.postgres.pid, "mqtt broker": stack.mqtt.pid}
    return {name: psutil.Process(pid) for name, pid in pids.items() if pid is not None}


def processes(system: System) -> dict[str, psutil.Process]:
    """Return the servers and our own processes, by name."""
    pids = {name: worker.process.pid for name, worker in system.workers.items()}
    return servers(system.stack) | {name: psutil.Process(pid) for name, pid in pids.items() if pid is not None}


def cpu_seconds(of: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return the CPU seconds of each process with its children, ended ones included."""
    used = {}
    for name, process in of.items():
        times = process.cpu_times()
        used[name] = times.user + times.system + times.children_user + times.children_system
        for child in process.children(recursive=True):
            # A child may end before it is read; its few milliseconds are not counted.
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                used[name] += times.user + times.system
    return used


def peak_mb(process: psutil.Process) -> float:
    """Return the peak resident memory of a process or of its largest child."""
    family = [process, *process.children(recursive=True)]
    return max(_peak_kb(member.pid) for member in family) / 1024


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
