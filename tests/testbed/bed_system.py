"""What a test-bed asks of the machine's kernel: commands, processes, cables, loop devices."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bed_plan import Plan


class Failed(RuntimeError):
    """A command of the test-bed failed or took too long."""


def call(*argv: str, timeout: float = 120, check: bool = True, given: str = "") -> str:
    """Run a command; its output, without the last newline. Raises Failed (CHECK: also when it says no)."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               errors="replace", start_new_session=True)
    try:
        out, err = process.communicate(given, timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise Failed(f"{' '.join(argv)}: not done within {timeout} s") from None
    if check and process.returncode:
        raise Failed(f"{' '.join(argv)}: {(err or out).strip() or f'exit status {process.returncode}'}")
    return out.rstrip("\n")


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a command with its children; what it left in the background may hold its pipes open for ever."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def until(true: Callable[[], object], timeout: float, what: str) -> None:
    """Wait until something is true. Raises Failed."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def processes() -> Iterator[int]:
    """The ids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def command_line(pid: int) -> list[str]:
    """A process's arguments; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def comm(pid: int) -> str:
    """A process's name; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def namespace(pid: int) -> str:
    """Which PID namespace a process is in; nothing when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def is_first(pid: int) -> bool:
    """Whether a process is the first of its PID namespace, or in this process's own one; no when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    _, *inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return not inner or inner[-1] == "1"


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal; nothing happens when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def is_over(pid: int) -> bool:
    """Whether a process is gone, or has only to be reaped: until then it may still listen, dying as it is."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    return all(_state(Path(f"/proc/{pid}/task/{thread}/stat")) in ("", "Z", "X") for thread in threads)


def _state(stat: Path) -> str:
    """The letter of a thread's state; nothing when it is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def loops(directory: Path) -> list[str]:
    """The loop devices whose files lie below a directory."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if path.read_text().startswith(f"{directory}/"):
                found.append(path.parts[3])
        except OSError:
            continue
    return found


def has_link(name: str) -> bool:
    """Whether the front-end has this network card."""
    return Path("/sys/class/net", name).exists()


def remove_link(name: str) -> None:
    """Remove a network card of the front-end, or wait for its end when its namespace takes it along."""
    if has_link(name):
        call("ip", "link", "delete", "dev", name, check=False)
        until(lambda: not has_link(name), 60, f"the end of {name}")


def make_bridges(plan: Plan) -> None:
    """The front-end's bridges, with its addresses."""
    lines = []
    for name, address in plan.bridges:
        lines += [f"link add {name} type bridge forward_delay 0 mcast_snooping 0", f"address add {address} dev {name}",
                  f"link set {name} up"]
    call("ip", "-batch", "-", given="\n".join(lines))


def connect(plan: Plan, index: int, pid: int) -> None:
    """Cables between the front-end's bridges and the network namespace of a process."""
    lines = []
    for end, bridge, card, mac in plan.cables(index):
        lines += [f"link add {end} type veth peer name {card} address {mac} netns {pid}",
                  f"link set {end} master {bridge} up"]
    call("ip", "-batch", "-", given="\n".join(lines))
