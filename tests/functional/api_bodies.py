"""Pieces of bodies, and the end of VMs, for the tests of VMs."""
from __future__ import annotations

from xml.etree.ElementTree import Element

from cloud_process import Cloud


def vector(body: Element, path: str, number: int = 0) -> dict[str, str]:
    """One vector of a body."""
    return {leaf.tag: leaf.text or "" for leaf in body.findall(path)[number]}


def end(cloud: Cloud, *vms: int) -> None:
    """Terminate and wait."""
    for vm in vms:
        cloud.client.call("one.vm.recover", vm, 3)
    for vm in vms:
        cloud.wait_vm(vm, "DONE")
