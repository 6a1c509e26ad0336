"""What tests of live migration stand on: a Linux guest with its disks on a node's own storage, and its moves."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import kvm_remote as remote
import kvm_tiny as tiny
from bed import Bed, Node
from kvm_bench import until

from onecore.wire.messages import Doc, Result

OWN, OTHER = "100", "101"
"""Datastores of which each node has its own."""
_CHILD = """
import json, sys
sys.path[:0] = {path!r}
from pathlib import Path
from kvm_bench import Bench
given = json.loads(sys.stdin.read())
bench = Bench(Path(given["home"]), given["args"]["host"], given["ssh"], hypervisor="qemu", migrate_uri={uri!r})
bench._op = 5000
bench.do("migrate", given["args"].pop("vm"), **given["args"])
"""


class Mover:
    """A guest, the bench that moves it, and the host that it is on."""

    def __init__(self, bed: Bed, number: int) -> None:
        self.bed, self.number = bed, number
        self.bench = remote.bench(bed, migrate_uri=remote.URI)
        self.nodes = {node.index: node for node in bed.nodes}
        self.at = bed.nodes[0]
        self.address = f"{bed.plan.guests}.77"
        self.vm = self._vm()

    def boot(self) -> None:
        """The guest runs on the first node."""
        tiny.boot(self.bench, self.vm)
        assert self.bed.ping(self.address, 120)

    def args(self, to: Node, store: str = OWN) -> Doc:
        """The args of a move from where the guest is."""
        made = {number: {"id": int(number), "name": number, "type": 1, "tm_mad": "ssh", "attrs": {"SHARED": "NO"},
                         "base_path": str(self.bed.datastores / number)} for number in (OWN, OTHER)}
        now = Path(self.vm["dir"]).parent.name
        return {"host": remote.host(self.at), "to": remote.host(to), "datastore": made[now],
                "to_datastore": made[store], "to_dir": str(self.bed.datastores / store / str(self.number))}

    def move(self, to: Node, store: str = OWN, **more: Any) -> Result:
        """Move it; that it has is remembered."""
        args = self.args(to, store)
        result = self.bench.do("migrate", self.vm, **args, **more)
        if result.ok:
            self.at, self.vm = to, {**self.vm, "dir": args["to_dir"]}
        return result

    def begin_elsewhere(self, to: Node) -> subprocess.Popen[str]:
        """The same move, asked for by another process."""
        path = [entry for entry in sys.path if entry]
        program = _CHILD.format(path=path, uri=remote.URI)
        child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True)
        assert child.stdin is not None
        given = {"home": str(self.bed.home), "ssh": remote.ssh(self.bed), "args": {**self.args(to), "vm": self.vm}}
        child.stdin.write(json.dumps(given))
        child.stdin.close()
        return child

    def run(self, command: str) -> str:
        """What a command in the guest says."""
        def ready() -> bool:
            return self.bench.do("exec", self.vm, host=remote.host(self.at), command="true").ok
        until(ready, 90, "the agent")
        done = self.bench.ok("exec", self.vm, host=remote.host(self.at), command=command)
        assert done["return_code"] == 0, done
        return str(done["stdout"])

    def slow(self, mb: int) -> None:
        """It moves with so many MB a second at most."""
        self.at.run("virsh", "-q", "-c", "qemu:///system", "migrate-setspeed", f"one-{self.number}", str(mb))

    def copies(self) -> bool:
        """Whether its memory is on its way."""
        shown = self.at.run("virsh", "-c", "qemu:///system", "domjobinfo", f"one-{self.number}", check=False)
        return "Memory processed" in shown and "Outgoing migration" in shown

    def runs_on(self) -> list[int]:
        """The nodes that have a domain of it."""
        return [node.index for node in self.bed.nodes if f"one-{self.number}" in remote.names(node)]

    def has_files(self, store: str = OWN) -> list[int]:
        """The nodes that have a directory of it."""
        path = str(self.bed.datastores / store / str(self.number))
        return [node.index for node in self.bed.nodes if node.path(path).exists()]

    def _vm(self) -> Any:
        """Its directory is on the first node alone."""
        made = tiny.vm(self.bed.home, self.number)
        front = Path(made["dir"])
        made |= {"dir": str(self.bed.datastores / OWN / str(self.number)), "tm_mad": "ssh"}
        made["nics"][0]["BRIDGE"] = "onebr"
        made["context"] |= {"ETH0_MAC": made["nics"][0]["MAC"], "ETH0_IP": self.address,
                            "ETH0_MASK": "255.255.255.0"}
        self.at.run("mkdir", "-p", made["dir"])
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", tiny.image(), front / "whole"], check=True)
        shutil.copy(front / "whole", self.at.path(made["dir"]) / "disk.0")
        shutil.rmtree(front)
        return made


class Pings:
    """Pings an address every 50 ms in the background; `gap` is the longest time without an answer."""

    def __init__(self, address: str) -> None:
        self.gap = 0.0
        self._process = subprocess.Popen(["ping", "-n", "-i", "0.05", "-W", "1", address], stdout=subprocess.PIPE,
                                         text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """End it; the gap."""
        time.sleep(0.5)
        self._process.terminate()
        self._process.wait()
        self._thread.join(5)
        return self.gap

    def _read(self) -> None:
        assert self._process.stdout is not None
        last = time.monotonic()
        for line in self._process.stdout:
            if "time=" in line:
                now = time.monotonic()
                self.gap, last = max(self.gap, now - last), now
