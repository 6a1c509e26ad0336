"""A domain of ours as libvirt shows it: found by name, known by the metadata we gave it, and its state in a word."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.base import Permanent
from drivers.vm.domain import NAMESPACE, domain_name
from drivers.vm.errors import is_gone, is_unsaid

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running", libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_SHUTDOWN: "running", libvirt.VIR_DOMAIN_PAUSED: "suspended",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended", libvirt.VIR_DOMAIN_SHUTOFF: "poweroff",
    libvirt.VIR_DOMAIN_CRASHED: "poweroff", libvirt.VIR_DOMAIN_NOSTATE: "running",
}
_STARTING = frozenset({
    (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_UNKNOWN),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)})
"""State and reason of a domain while its QEMU is started."""
_LOADED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
"""State and reason of a domain while it is given its state, and afterwards until it is let run."""
_ID = re.compile(r"\bid=['\"](\d+)['\"]")
_GENERATION = re.compile(r"\bgeneration=['\"](\d+)['\"]")


class Superseded(Permanent):
    """The host runs a newer generation of the VM than the command is about."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A domain of ours.  `domain` is libvirt's handle."""

    domain: Any
    vm: int
    generation: int
    state: str
    starting: bool = False
    """Whether libvirt is still at it; it may fail."""
    loaded: bool = False
    """Whether it gets its state from a checkpoint, or has it and has not run since."""

    @property
    def is_on(self) -> bool:
        """Whether a QEMU runs for it."""
        return self.state in ("running", "suspended")


def find(connection: Any, vm: int) -> Guest | None:
    """The domain of VM, None when there is none.  Raises Permanent when one of that name is not ours."""
    name = domain_name(vm)
    try:
        guest = guest_of(connection.lookupByName(name))
    except libvirt.libvirtError as error:
        if is_gone(error):
            return None
        raise
    if guest is None or guest.vm != vm:
        raise Permanent(f"the host has a domain {name} that this cloud did not make")
    return guest


def guest_of(domain: Any) -> Guest | None:
    """DOMAIN as a Guest, None when it is not ours.  Raises libvirtError when it is gone meanwhile."""
    ours = identity(domain)
    if ours is None:
        return None
    state, reason = domain.state()
    return Guest(domain, *ours, _STATES.get(state, "running"), (state, reason) in _STARTING, (state, reason) == _LOADED)


def identity(domain: Any) -> tuple[int, int] | None:
    """VM id and generation from DOMAIN's metadata, None when it has none of ours."""
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    vm, generation = _ID.search(text), _GENERATION.search(text)
    return (int(vm.group(1)), int(generation.group(1))) if vm and generation else None


def guests(connection: Any) -> list[Guest]:
    """All domains of ours that the host has."""
    found = []
    for domain in connection.listAllDomains():
        try:
            guest = guest_of(domain)
        except libvirt.libvirtError as error:
            if not is_gone(error):
                raise
            continue
        if guest:
            found.append(guest)
    return found


def end(guest: Guest) -> None:
    """Take the domain away, running or not; gone already is fine."""
    for step in (guest.domain.destroy, guest.domain.undefine):
        try:
            _said(step)
        except libvirt.libvirtError as error:
            if is_gone(error):
                return
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise


def _said(step: Callable[[], object]) -> None:
    """STEP, once more if it failed and did not say how."""
    try:
        step()
    except libvirt.libvirtError as error:
        if not is_unsaid(error):
            raise
        step()


def end_if_there(connection: Any, vm: int, newest: int) -> None:
    """Take the domain of VM away if there is one; Permanent when it is of a generation after NEWEST."""
    guest = find(connection, vm)
    if guest is not None:
        not_newer(guest, newest)
        end(guest)


def not_newer(guest: Guest, newest: int) -> None:
    """Permanent when GUEST is of a generation after NEWEST: whoever asks was overtaken."""
    if guest.generation > newest:
        raise Superseded(f"superseded: VM {guest.vm} runs with generation {guest.generation}")
