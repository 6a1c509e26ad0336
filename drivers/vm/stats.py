"""What libvirt knows of a host and of its domains, as plain values for the information driver."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from xml.etree import ElementTree

import libvirt

from drivers.base import Context, Temporary
from drivers.vm.connection import answer, connections, uri_of
from drivers.vm.errors import is_gone
from drivers.vm.guest import identity

T = TypeVar("T")
_WANTED = (libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
           | libvirt.VIR_DOMAIN_STATS_INTERFACE | libvirt.VIR_DOMAIN_STATS_BLOCK)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that runs: `vm` and `generation` are -1 when it is not ours; `run` tells one run of it from another."""

    name: str
    run: int
    vm: int
    generation: int
    stats: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """What a host offers and what does not change while its libvirtd runs."""

    hostname: str
    arch: str
    version: str
    """QEMU's, as 7.2.22."""
    machines: tuple[str, ...]
    cpu_models: tuple[str, ...]


def read_hypervisor(ctx: Context) -> Hypervisor:
    """What the host offers; Temporary when libvirt is away."""
    return _ask(ctx, _hypervisor)


def read_domains(ctx: Context) -> list[Domain]:
    """All domains that run on the host; Temporary when libvirt is away."""
    return _ask(ctx, _domains)


def machines(capabilities: str, arch: str) -> tuple[str, ...]:
    """The machine types for ARCH in libvirt's CAPABILITIES, sorted."""
    found = ElementTree.fromstring(capabilities).findall(f"guest/arch[@name='{arch}']")
    names = (node.text for each in found for node in each.iter("machine"))
    return tuple(sorted({name for name in names if name}))


def version(number: int) -> str:
    """libvirt's version number in words: 7002022 is 7.2.22."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def _ask(ctx: Context, question: Callable[[Any], T]) -> T:
    pool, uri = connections(ctx), uri_of(ctx)
    connection = pool.get(uri)
    try:
        return answer(lambda: question(connection))
    except libvirt.libvirtError as error:
        pool.drop(uri, connection)
        raise Temporary(f"libvirt: {error.get_error_message() or error}") from None
    except Temporary:
        pool.drop(uri, connection)
        raise


def _hypervisor(connection: Any) -> Hypervisor:
    capabilities = connection.getCapabilities()
    arch = ElementTree.fromstring(capabilities).findtext("host/cpu/arch") or ""
    return Hypervisor(connection.getHostname(), arch, version(connection.getVersion()), machines(capabilities, arch),
                      tuple(connection.getCPUModelNames(arch)))


def _domains(connection: Any) -> list[Domain]:
    found = []
    for domain, stats in connection.getAllDomainStats(_WANTED, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING
                                                      | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED
                                                      | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT):
        try:
            vm, generation = identity(domain) or (-1, -1)
        except libvirt.libvirtError as error:
            if not is_gone(error):
                raise
            continue
        found.append(Domain(domain.name(), domain.ID(), vm, generation, stats))
    return found
