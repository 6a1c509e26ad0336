"""Ports of guests' screens and serial consoles: no two VMs of a host, or on their way to it, have the same.

GRAPHICS/PORT is in TEMPLATE, SERIAL/PORT in USER_TEMPLATE.  A VM has its ports from the start; one that is taken where
it is put becomes the next free one.
"""
from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from itertools import chain
from typing import Any

from onecore.config import Defaults
from onecore.errors import NotAllocated, WrongState
from onecore.kinds.host.record import Host
from onecore.kinds.kind import elements, inner_xml, tree_of, whole
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import Vm, VmText
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.template import Tree

LAST = 65535
_SCREENS = ("VNC", "SPICE")
_SERIALS = ("PTY", "TCP")
_PORT = re.compile(rb"&lt;PORT&gt;&lt;!\[CDATA\[(\d{1,5})\]\]&gt;&lt;/PORT&gt;")
"""The port in a vector's element; what looks like one in a value does not end so."""


class Ports:
    """The ports of each VM that has some."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[int, ...]] = {}

    def change(self, old: VmText | None, new: VmText | None) -> None:
        """A VM's texts changed."""
        found = () if new is None else _found(new)
        if found and new is not None:
            self._of[new.oid] = found
        elif old is not None:
            self._of.pop(old.oid, None)

    def of(self, oid: int) -> tuple[int, ...]:
        """Those of a VM."""
        return self._of.get(oid, ())


def _found(text: VmText) -> tuple[int, ...]:
    """The ports that a VM's texts hold; quick, since every change of a text asks."""
    out: list[int] = []
    for name, part in (("GRAPHICS", text.template), ("SERIAL", text.user)):
        wanted = name.encode()
        if b"&lt;" + wanted + b"&gt;" in part:
            vector = next((element for found, element in elements(part) if found == wanted), b"")
            out += [int(port) for port in _PORT.findall(vector)]
    return tuple(out)


def ports(core: Core) -> Ports:
    """The index of CORE."""
    made: Ports = core.kinds["vm.ports"]
    return made


def taken(core: Core, hid: int, but: int) -> dict[int, int]:
    """The ports in use on a host, or to be there, and the VM of each; those of the VM called BUT are left out."""
    there = usage(core).by_host.of(hid) | usage(core).arriving.of(hid)
    return {port: oid for oid in there if oid != but for port in ports(core).of(oid)}


def give(defaults: Defaults, tree: Tree, oid: int, busy: Collection[int] = ()) -> None:
    """Check the ports in TREE, all that a VM's template holds, and give those that lack, none that is BUSY.

    Raises NotAllocated.
    """
    check(tree)
    for name, base in (("GRAPHICS", defaults.vnc_base_port), ("SERIAL", defaults.serial_base_port)):
        vector = tree.vector(name)
        if vector is not None and not vector.get("PORT") and _wants(name, vector):
            vector["PORT"] = str(_next(base + oid % (LAST - base), base, busy))


def check(tree: Tree) -> None:
    """Raise NotAllocated when a port, or a kind of serial console, is none."""
    graphics, serial = tree.vector("GRAPHICS") or {}, tree.vector("SERIAL") or {}
    for name, vector, least in (("GRAPHICS", graphics, 0), ("SERIAL", serial, 1024)):
        if vector.get("PORT") and whole(vector["PORT"], least, LAST) is None:
            raise NotAllocated(f"{name} PORT must be a number from {least} to {LAST}, not {vector['PORT'][:40]!r}")
    if serial.get("TYPE") and serial["TYPE"].upper() not in _SERIALS:
        raise NotAllocated(f"SERIAL TYPE must be pty or tcp, not {serial['TYPE'][:40]!r}")


def _wants(name: str, vector: dict[str, str]) -> bool:
    kind = vector.get("TYPE", "").upper()
    return kind in _SCREENS if name == "GRAPHICS" else kind == "TCP"


def assign(tx: Tx, core: Core, vm: Vm, info: dict[str, Any]) -> Vm:
    """The VM starts afresh on its host: a port that another VM has there becomes the next free one.  An effect."""
    text = tx.get(VmText, vm.oid)
    others = taken(core, vm.hid, vm.oid) if ports(core).of(vm.oid) else {}
    if text is None or not any(port in others for port in ports(core).of(vm.oid)):
        return vm
    busy = {*others, *ports(core).of(vm.oid)}
    tree, user = tree_of(text.template).copy(), tree_of(text.user).copy()
    for name, part, base in (("GRAPHICS", tree, core.config.defaults.vnc_base_port),
                             ("SERIAL", user, core.config.defaults.serial_base_port)):
        vector = part.vector(name)
        if vector is not None and vector.get("PORT", "").isdecimal() and int(vector["PORT"]) in others:
            _move(core, vm, name, vector, base, busy)
    tx.put(replace(text, template=inner_xml(tree), user=inner_xml(user)))
    return vm


def _move(core: Core, vm: Vm, name: str, vector: dict[str, str], base: int, busy: set[int]) -> None:
    old = int(vector["PORT"])
    free = _next(max(old, base), base, busy)
    busy.add(free)
    vector["PORT"] = str(free)
    core.log.vm(vm.oid, f"{name} PORT is {free}: {old} is taken on host {vm.hid}")


def _next(first: int, base: int, busy: Collection[int]) -> int:
    """The first port from FIRST on, or else from BASE on, that is not BUSY; FIRST itself when all are."""
    return next((port for port in chain(range(first, LAST + 1), range(base, first)) if port not in busy), first)


def check_free(core: Core, vm: Vm, host: Host) -> None:
    """Raise WrongState when a guest that keeps its ports as it moves to HOST would meet another there."""
    others = taken(core, host.oid, vm.oid)
    for port in ports(core).of(vm.oid):
        if port in others:
            raise WrongState(f"port {port} of VM {vm.oid}'s screen or serial console is VM {others[port]}'s on host "
                             f"{host.oid} ({host.name}); power the VM off to move it, its port changes then", vm.oid)
