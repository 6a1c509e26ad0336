"""What tests of vm/kvm on remote hosts stand on: guests of one boot sector on the nodes of a test-bed."""
from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kvm_ground
import pytest
from bed import Bed, Node, missing
from kvm_bench import Bench

from onecore.wire.messages import Doc

BRIDGE = kvm_ground.BRIDGE
URI = "qemu+tcp://{host}/system"


@contextmanager
def bed(nodes: int = 2, tcp: bool = False) -> Iterator[Bed]:
    """A bed; skips where there can be none.  TCP: its hosts hand guests over to each other (`URI`)."""
    if missing():
        pytest.skip(missing())
    with Bed(nodes=nodes, memory_mb=2048, disk_mb=1024, tcp=tcp) as made:
        yield made


def ssh(made: Bed) -> Doc:
    """The settings with which the bed's nodes are reached."""
    return {"key": str(made.key), "known_hosts": str(made.known_hosts), "connect_timeout": 15}


def host(node: Node) -> Doc:
    """A node as a host."""
    return {"id": node.index, "name": node.name, "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}


def bench(made: Bed, **settings: Any) -> Bench:
    """A driver process's worth of actions, on node 1 unless told otherwise."""
    return Bench(made.home, host(made.nodes[0]), ssh(made), hypervisor="qemu", **settings)


def vm(made: Bed, number: int) -> Any:
    """A VM on the datastore that all nodes share."""
    return {**kvm_ground.vm(made.home, number), "tm_mad": "shared"}


def names(node: Node) -> list[str]:
    """The guests that run on a node."""
    return [guest.name for guest in node.guests()]


def kill(node: Node, number: int) -> None:
    """End a guest behind everybody's back."""
    kvm_ground.end_process(next(guest.pid for guest in node.guests() if guest.name == f"one-{number}"))


def sweep(made: Bed) -> None:
    """No guests and no bridge of a test's on any node, and no VM's files where all see them."""
    for node in made.nodes:
        for name in names(node):
            node.run("virsh", "-q", "-c", "qemu:///system", "destroy", name, check=False)
        node.run("ip", "link", "delete", "dev", BRIDGE, check=False)
        node.run("rm", "-rf", f"/run/onecore/bridges/{BRIDGE}", str(made.datastores / ".locks"))
    for directory in (made.datastores / "0").iterdir():
        shutil.rmtree(directory)
