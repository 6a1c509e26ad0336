"""What may die of a cloud on the test-bed, and how it comes back."""
from __future__ import annotations

import time
from collections.abc import Callable

from bed_cloud import BedCloud
from crash_ground import kill_driver


def _oned(cloud: BedCloud) -> None:
    cloud.kill()
    cloud.start()


def _driver(family: str) -> Callable[[BedCloud], None]:
    return lambda cloud: kill_driver(cloud, family)


def _daemon(name: str) -> Callable[[BedCloud], None]:
    def kill(cloud: BedCloud) -> None:
        cloud.bed.nodes[0].kill(name)
        time.sleep(3)
        cloud.bed.nodes[0].start(name)
    return kill


def _node(cloud: BedCloud) -> None:
    cloud.bed.nodes[0].crash()
    time.sleep(3)
    cloud.bed.start(cloud.bed.nodes[0])


def _network(cloud: BedCloud) -> None:
    cloud.bed.nodes[0].cut()
    host = cloud.hosts[cloud.bed.nodes[0].name]
    cloud.wait_host(host, "ERROR", 120)
    cloud.bed.nodes[0].mend()


KILLS: dict[str, Callable[[BedCloud], None]] = {
    "oned": _oned, "vm driver": _driver("vm"), "tm driver": _driver("tm"), "libvirtd": _daemon("libvirtd"),
    "sshd": _daemon("sshd"), "node": _node, "network": _network}
