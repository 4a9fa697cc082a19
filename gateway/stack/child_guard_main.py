"""The guard's own process: ends every registered process when the parent has ended.

Started by file name, not as a module of the package, so that it needs nothing but psutil and is there within moments.
It reads lines from its standard input: `+ PID SIGNAL` registers a process, `- PID` removes it. The end of the
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
    children: dict[int, tuple[psutil.Process, int]] = {}
    for line in sys.stdin:
        sign, pid, *stop_signal = line.split()
        if sign == "-":
            children.pop(int(pid), None)
            continue
        try:
            # The object remembers when the process was created, so a reused pid is never signalled.
            children[int(pid)] = (psutil.Process(int(pid)), int(stop_signal[0]))
        except psutil.NoSuchProcess:
            continue
    end(list(children.values()))


def end(children: list[tuple[psutil.Process, int]]) -> None:
    """Ask each process to stop, then kill what is left of it and of its children."""
    processes = [process for child, _ in children for process in process_tree(child)]
    for child, stop_signal in children:
        send(child, stop_signal)
    deadline = time.monotonic() + GRACE
    while any(alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        send(process, signal.SIGKILL)


def process_tree(process: psutil.Process) -> list[psutil.Process]:
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
