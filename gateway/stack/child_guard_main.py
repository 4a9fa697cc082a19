"""The guard's own process: ends every registered process once the parent is gone, however it went.

Started by file name, not as a module of the package, so that it needs nothing but psutil and is there within moments.
It reads lines from its standard input: `+ PID SIGNAL` takes a process into its care, `- PID` lets it go. The end of the
input means that the parent has ended: only the parent holds the other side of this pipe.
"""

import signal
import sys
import time

import psutil

GRACE = 5.0
"""Seconds between asking a process to stop and killing it."""


def main() -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    wards: dict[int, tuple[psutil.Process, int]] = {}
    for line in sys.stdin:
        sign, pid, *stop_signal = line.split()
        if sign == "-":
            wards.pop(int(pid), None)
            continue
        try:
            # The object remembers when the process was created, so a reused pid is never signalled.
            wards[int(pid)] = (psutil.Process(int(pid)), int(stop_signal[0]))
        except psutil.NoSuchProcess:
            continue
    end(list(wards.values()))


def end(wards: list[tuple[psutil.Process, int]]) -> None:
    """Ask each process to stop, then kill what is left of it and of its children."""
    families = [process for ward, _ in wards for process in family(ward)]
    for ward, stop_signal in wards:
        send(ward, stop_signal)
    deadline = time.monotonic() + GRACE
    while any(alive(process) for process in families) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in families:
        send(process, signal.SIGKILL)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and everything below it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(process: psutil.Process) -> bool:
    """Running, and more than an entry that nobody has collected yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def send(process: psutil.Process, number: int) -> None:
    """A signal to a process, if it is still the same one."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    main()
