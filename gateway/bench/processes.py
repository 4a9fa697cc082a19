"""The processes of a system, and what they have used."""

import psutil

from gateway.system import System


def processes(system: System) -> dict[str, psutil.Process]:
    """Return the servers and our own processes, by name."""
    stack = system.stack
    pids = {"kafka": stack.kafka.pid, "postgres": stack.postgres.pid, "mqtt broker": stack.mqtt.pid}
    pids |= {name: worker.process.pid for name, worker in system.workers.items()}
    return {name: psutil.Process(pid) for name, pid in pids.items() if pid is not None}


def cpu_seconds(system: System) -> dict[str, float]:
    """Return the CPU seconds of each process with its children, also of those that have ended meanwhile."""
    used = {}
    for name, process in processes(system).items():
        times = process.cpu_times()
        used[name] = times.user + times.system + times.children_user + times.children_system
        for child in process.children(recursive=True):
            used[name] += child.cpu_times().user + child.cpu_times().system
    return used
