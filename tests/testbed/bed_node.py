"""One simulated host: its life, its daemons, its cable, and what is in it, all without asking its SSH or libvirt."""
from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bed_plan import HERE, Plan
from bed_system import (
    Failed,
    call,
    comm,
    command_line,
    connect,
    has_link,
    is_over,
    kill,
    loops,
    namespace,
    processes,
    remove_link,
    until,
)

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SSH_PORT, LISTENING = ":0016", "0A"
"""In /proc/net/tcp."""
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")


class Guest(NamedTuple):
    """A QEMU at work: its domain, and its process as the front-end sees it."""
    name: str
    pid: int


class Node:
    """A simulated host. Its name is the address by which the front-end reaches it; its own hostname is nodeN."""

    def __init__(self, plan: Plan, index: int) -> None:
        self.index = index
        self.name = self.address = f"{plan.management}.{10 + index}"
        self.guest_address = f"{plan.guests}.{10 + index}"
        self.hostname = f"node{index}"
        self.directory = plan.directory / self.hostname
        self._pid = 0
        self._plan = plan
        self._cable = plan.cables(index)[0][0]
        self._parent: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.hostname} {self.address} pid {self.pid}>"

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._parent is not None and self._parent.poll() is None

    @property
    def pid(self) -> int:
        """Its first process as the front-end sees it; 0 when it does not run."""
        return self._pid if self.alive else 0

    def up(self, timeout: float = 180) -> None:
        """Start it, also after a crash; returns when its sshd and libvirtd answer. Nothing to do when it runs."""
        if self.alive:
            return
        self._pid = 0
        self.wait_gone()
        log = self.directory / "log" / "init.log"
        with log.open("ab") as errors:
            self._parent = subprocess.Popen(self._command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, env=dict([PATH.split("=", 1)]), start_new_session=True)
        try:
            self._bring_up(self._parent, time.monotonic() + timeout)
            self._until_ssh()
        except (Failed, OSError) as error:
            self.crash()
            raise Failed(f"{self.hostname} does not start ({error}): {log.read_text()[-500:]}") from None

    def _command(self) -> list[str]:
        plan = self._plan
        return ["unshare", *NAMESPACES, "--fork", "--kill-child=SIGKILL", "--propagation", "private",
                "/bin/bash", str(HERE / "node-enter.sh"), str(plan.directory), str(self.index), str(plan.nodes),
                plan.management, plan.guests, str(plan.memory_mb), str(int(plan.tcp))]

    def _bring_up(self, parent: subprocess.Popen[bytes], deadline: float) -> None:
        assert parent.stdin and parent.stdout
        with parent.stdin as orders, parent.stdout as answers:
            self._pid = int(_line(answers.fileno(), deadline))
            connect(self._plan, self.index, self._pid)
            orders.write(b"connected\n")
            orders.flush()
            if _line(answers.fileno(), deadline) != "ready":
                raise Failed("it ended")

    def wait_gone(self, timeout: float = 120) -> None:
        """Wait until nothing of a crashed node is left but its disk: two mounts of that would spoil it."""
        self._unplug()
        until(lambda: not loops(self.directory), timeout, f"the release of the disk of {self.hostname}")

    def run(self, *argv: str, timeout: float = 120, check: bool = True) -> str:
        """Run a command in it as root; its output. Raises Failed."""
        return call("nsenter", "--target", str(self._running()), *NAMESPACES, "--cgroup", "--wd=/", "env", "-i", PATH,
                    "HOME=/root", "LANG=C.UTF-8", *argv, timeout=timeout, check=check)

    def _running(self) -> int:
        if not self.alive:
            raise Failed(f"{self.hostname} is not running")
        return self.pid

    def crash(self) -> None:
        """Kill its first process: everything in it dies at once, its network cards vanish."""
        if self._parent and self.alive:
            kill(self._pid or self._parent.pid)
            self._parent.wait(120)
        self._unplug()

    def _unplug(self) -> None:
        for end, *_ in self._plan.cables(self.index):
            remove_link(end)

    def start(self, daemon: str) -> None:
        """Start sshd or libvirtd again after it was killed; sshd listens on return, and `hung_sshd` is over."""
        if daemon == "sshd":
            self.kill("deaf")
        self.run("/run/testbed/daemon", daemon)
        if daemon == "sshd":
            self._until_ssh()

    def _until_ssh(self) -> None:
        """The SSH server leaves its caller before it listens."""
        until(self._has_ssh, 60, f"the SSH server of {self.hostname}")

    def _has_ssh(self) -> bool:
        """Whether somebody listens on its SSH port."""
        rows = map(str.split, Path(f"/proc/{self._running()}/net/tcp").read_text().splitlines())
        return any(row[1].endswith(SSH_PORT) and row[3] == LISTENING for row in rows)

    def kill(self, name: str) -> None:
        """kill -9 all its processes of that name ("sshd": the sessions too, "qemu-img") and wait for their end."""
        dying = set[int]()

        def ended() -> bool:
            dying.update(self.pids(name))
            self._signal(name, signal.SIGKILL)  # again: one that was just being forked got none
            return not self.pids(name) and all(is_over(pid) or comm(pid) != name for pid in dying)
        until(ended, 60, f"the end of {name} in {self.hostname}")

    def stop(self, name: str) -> None:
        """SIGSTOP all its processes of that name: they hang."""
        self._signal(name, signal.SIGSTOP)

    def cont(self, name: str) -> None:
        """Let what `stop` stopped go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        for pid in self.pids(name):
            kill(pid, number)

    def pids(self, name: str = "") -> list[int]:
        """Its processes (those of that name, at most 15 letters), as the front-end sees them; not what has ended."""
        space = namespace(self._running())
        return [pid for pid in processes() if name in ("", comm(pid)) and namespace(pid) == space
                and command_line(pid) != [""]]

    def hung_sshd(self) -> ExitStack:
        """Have a server for an sshd that takes connections and never answers: until `start("sshd")`, or as `with`."""
        self.kill("sshd")
        self.run("/run/testbed/daemon", "deaf")
        until(lambda: self.pids("deaf"), 60, f"the deaf server of {self.hostname}")  # `start` finds it by that name
        back = ExitStack()
        back.callback(self.start, "sshd")
        return back

    def cut(self) -> None:
        """Pull the cable of the management network; the guests' network stays."""
        call("ip", "link", "set", self._cable, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        if has_link(self._cable):
            call("ip", "link", "set", self._cable, "up")

    def guests(self) -> list[Guest]:
        """The guests that run, told by their processes and not by libvirt."""
        return sorted(Guest(_domain(line), pid) for pid, line in self._qemus())

    def _qemus(self) -> Iterator[tuple[int, list[str]]]:
        for pid in self.pids():
            line = command_line(pid)
            if "-name" in line and os.path.basename(line[0]).startswith("qemu-system"):
                yield pid, line

    def path(self, path: str | Path) -> Path:
        """How the front-end can read a path of the node (absolute links inside point elsewhere)."""
        return Path(f"/proc/{self._running()}/root") / str(path).lstrip("/")

    def written(self, since: str) -> list[str]:
        """The files on its own disk, but for libvirt's, that the node wrote after its file SINCE was made."""
        disk, folders = "/run/testbed/disk", ("tmp", "var/tmp", "root", "var/lib/one")
        return self.run("find", f"{disk}/upper", *(f"{disk}/private/{folder}" for folder in folders), "/dev/shm",
                        "-type", "f", "-newer", since).splitlines()

    def files(self, path: str | Path) -> list[str]:
        """All that lies below a directory as the node sees it, files and directories; nothing when it is missing."""
        root = f"/proc/{self._running()}/root"
        return sorted(os.path.join(place.removeprefix(root), name)
                      for place, folders, names in os.walk(self.path(path)) for name in folders + names)

    def taps(self) -> list[str]:
        """Its tap devices."""
        return sorted(path.parent.name for path in self.path("/sys/class/net").glob("*/tun_flags"))


def _domain(line: list[str]) -> str:
    """The domain in a QEMU's arguments: `-name guest=one-5,debug-threads=on`."""
    return line[line.index("-name") + 1].split(",")[0].removeprefix("guest=")


def _line(file: int, deadline: float) -> str:
    """The next line that a starting node says; '' when it has ended. Raises Failed at the deadline."""
    text = b""
    while not text.endswith(b"\n"):
        if not select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise Failed("it takes too long")
        letter = os.read(file, 1)
        if not letter:
            return ""
        text += letter
    return text.decode().strip()
