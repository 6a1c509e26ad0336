"""A signal for one of a process's other threads: it interrupts nothing that the main thread waits for.

The kernel gives one to such a thread by itself now and then; and one that comes just as a wait begins is as lost.
"""
from __future__ import annotations

import ctypes
import os
import signal
import time


def send_elsewhere(pid: int, number: signal.Signals) -> None:
    """Send it, once PID has another thread that listens to it."""
    late = time.monotonic() + 20
    while not (others := [each for each in _threads(pid) if each != pid and not _blocks(pid, each, number)]):
        assert time.monotonic() < late, f"process {pid} has no other thread for {number.name}"
        time.sleep(0.02)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.tgkill(pid, others[0], number) == 0, os.strerror(ctypes.get_errno())


def _threads(pid: int) -> list[int]:
    return [int(each) for each in os.listdir(f"/proc/{pid}/task")]


def _blocks(pid: int, thread: int, number: signal.Signals) -> bool:
    with open(f"/proc/{pid}/task/{thread}/status") as file:
        mask = next(line for line in file if line.startswith("SigBlk:"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)
