"""A test-bed: physical hosts as namespaces of this machine, each with its own sshd, libvirtd, bridge and storage.

    with Bed(nodes=2) as bed:
        bed.nodes[0].crash()

As a program: `bed.py up [--nodes 3]`, `bed.py list`, `bed.py down [NUMBER]`; see docs/testbed.md.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import bed_remains
from bed_node import Guest, Node
from bed_plan import NUMBERS, Plan
from bed_system import Failed, call, make_bridges

__all__ = ["Bed", "Failed", "Guest", "Node", "missing"]
TOOLS = ("unshare", "nsenter", "ip", "ping", "mkfs.ext4", "/usr/bin/ssh", "ssh-keygen", "/usr/sbin/sshd", "libvirtd",
         "virsh", "qemu-system-x86_64", "qemu-img", "genisoimage", "/usr/bin/python3")
SHARED = ("0", "1", "2")
AT_ONCE = 4


@cache
def missing() -> str:
    """Why there can be no test-bed on this machine; '' when there can."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in TOOLS:
        if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"needs {tool}"
    if os.stat("/usr").st_dev != os.stat("/").st_dev or os.stat("/etc").st_dev != os.stat("/").st_dev:
        return "needs /, /usr and /etc on one file system"
    return _missing_of_kernel()


def _missing_of_kernel() -> str:
    try:
        call("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--fork", "true")
    except Failed as error:
        return f"needs namespaces: {error}"
    if not Path("/dev/loop-control").exists() and _refused("modprobe", "loop"):
        return "needs loop devices"
    if "overlay" not in Path("/proc/filesystems").read_text() and _refused("modprobe", "overlay"):
        return "needs the overlay file system"
    return ""


def _refused(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True).returncode != 0
    except OSError:
        return True


class Bed:
    """Some simulated hosts and the front-end's side of them: home, key, known hosts, two networks."""

    def __init__(self, nodes: int = 2, memory_mb: int = 0, disk_mb: int = 4096, tcp: bool = False) -> None:
        self._sizes = nodes, memory_mb, disk_mb, tcp
        self._lock = -1

    def __enter__(self) -> Bed:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Take a number and start all nodes. Raises Failed, with nothing left behind."""
        number, self._lock = bed_remains.take()
        self.plan = Plan(number, *self._sizes)
        self.number, self.directory = number, self.plan.directory
        self.key, self.known_hosts = self.directory / "key", self.directory / "known_hosts"
        self.home = self.directory / "home"
        self.datastores = self.home / "datastores"
        self.nodes = [Node(self.plan, index + 1) for index in range(self.plan.nodes)]
        try:
            self._make()
        except BaseException:
            self.down()
            raise

    def _make(self) -> None:
        self.directory.mkdir(mode=0o755)
        for name in SHARED:
            (self.datastores / name).mkdir(parents=True)
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.directory.name, "-f", str(self.key))
        make_bridges(self.plan)
        self._each(self._make_node)
        self.known_hosts.write_text("".join(map(_known, self.nodes)))

    def _make_node(self, node: Node) -> None:
        (node.directory / "log").mkdir(parents=True)
        disk, key = node.directory / "disk.img", node.directory / "ssh_host_ed25519_key"
        shutil.copyfile(f"{self.key}.pub", node.directory / "key.pub")
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", node.hostname, "-f", str(key))
        call("truncate", "-s", f"{self.plan.disk_mb}M", str(disk))
        call("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "65536", "-O", "^has_journal", "-E", "nodiscard", str(disk))
        node.up()

    def _each(self, do: Callable[[Node], None]) -> None:
        """Do something with all nodes, some at a time; raises what one of them raised, when all are done."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(do, node) for node in self.nodes]:
                done.result()

    def start(self, node: Node) -> None:
        """Put a node up again after a crash."""
        node.up()

    def down(self) -> None:
        """End all nodes and remove every trace of the bed."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        try:
            self._each(Node.crash)
            bed_remains.remove(self.plan)
        finally:
            bed_remains.release(self.number, lock)

    def keep(self) -> None:
        """Have the bed outlive this process, until `bed.py down`."""
        bed_remains.keep(self.number)
        bed_remains.release(self.number, self._lock)
        self._lock = -1

    def ping(self, address: str, timeout: float = 1) -> bool:
        """Whether an address answers the front-end within so many seconds."""
        deadline = time.monotonic() + timeout
        while True:
            began = time.monotonic()
            if subprocess.run(["ping", "-n", "-q", "-c", "1", "-W", "1", address], capture_output=True).returncode == 0:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(max(0.0, began + 0.3 - time.monotonic()))

    def http(self, address: str, timeout: float = 3) -> dict[str, str]:
        """What the tiny guest at an address says about itself: hostname, uptime, cpus ... Raises OSError."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}/", timeout=timeout) as answer:
            lines = answer.read().decode().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def _known(node: Node) -> str:
    kind, key = (node.directory / "ssh_host_ed25519_key.pub").read_text().split()[:2]
    return f"{node.address},{node.hostname} {kind} {key}\n"


def _up(options: argparse.Namespace) -> None:
    bed = Bed(options.nodes, options.memory, options.disk, options.tcp)
    bed.up()
    bed.keep()
    print(f"bed {bed.number} is up; its home is {bed.home}\n"
          f"networks {bed.plan.management}.0/24 (management) and {bed.plan.guests}.0/24 (guests), .1 is this machine")
    for node in bed.nodes:
        print(f"  {node.hostname}  {node.address}  pid {node.pid}")
    print(f"ssh -i {bed.key} -o UserKnownHostsFile={bed.known_hosts} root@{bed.nodes[0].address}")


def _list(_: argparse.Namespace) -> None:
    for number in NUMBERS:
        plan = Plan(number)
        if not plan.directory.exists():
            continue
        with bed_remains.held(number) as free:
            owner = "a process" if not free else "kept" if bed_remains.is_kept(number) else "nobody"
        addresses = " ".join(node.address for node in _nodes(plan))
        print(f"bed {number} ({owner}), {len(bed_remains.roots(plan)) // 2} nodes running: {addresses}")


def _nodes(plan: Plan) -> list[Node]:
    return [Node(plan, int(path.name[4:])) for path in sorted(plan.directory.glob("node[0-9]*"))]


def _down(options: argparse.Namespace) -> None:
    for number in NUMBERS if options.number is None else [options.number]:
        if options.number is None and not Plan(number).directory.exists():
            continue
        with bed_remains.held(number) as free:
            if free:
                bed_remains.remove(Plan(number))
            print(f"bed {number} is {'gone' if free else 'of a process that runs, and stays'}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    actions = parser.add_subparsers(required=True)
    up = actions.add_parser("up", help="make a bed that stays, and say how to use it")
    up.add_argument("--nodes", type=int, default=3)
    up.add_argument("--memory", type=int, default=0, help="MB that each node claims to have (the machine's)")
    up.add_argument("--disk", type=int, default=4096, help="MB of each node's disk (4096)")
    up.add_argument("--tcp", action="store_true", help="libvirtd listens for TCP too")
    up.set_defaults(do=_up)
    actions.add_parser("list", help="the beds there are").set_defaults(do=_list)
    down = actions.add_parser("down", help="remove a bed, or all that no running process owns")
    down.add_argument("number", type=int, nargs="?")
    down.set_defaults(do=_down)
    options = parser.parse_args()
    if missing():
        print(f"no test-bed here: {missing()}", file=sys.stderr)
        return 1
    options.do(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
