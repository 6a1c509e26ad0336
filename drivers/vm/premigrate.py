"""What keeps a guest from running on another host, found before anything is done; each check tells in words.

A check that cannot be made is a problem itself; none changes anything.  A guest that keeps its state, as it runs or in
its checkpoint, must find there what it knows here; one that starts anew takes what it finds.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.base import Cancelled, Context, DriverError, Executor, Permanent
from drivers.tm.facts import look as look_at_files
from drivers.tm.trip import trip
from drivers.vm import checkpoint, move_files
from drivers.vm.connection import call
from drivers.vm.domain.live import Live, host_cpu
from drivers.vm.facts import host_facts
from drivers.vm.guest import Guest
from drivers.vm.handover import target_uri
from drivers.vm.inside import read
from drivers.vm.work import look
from onecore.wire.messages import Doc

REACH_SECONDS = 15.0
"""How long one host's libvirt may take to reach the other's."""
_CONFIGURED = "grep -qsE '^ *migration_(host|address)' /etc/libvirt/qemu.conf && echo yes || true"
_UNMOVABLE = ("hostdev", "filesystem", "shmem")
_FILES = ("KERNEL", "INITRD")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the action's args, and both hosts."""

    ctx: Context
    args: Doc
    guest: Guest | None
    """The guest that runs, of a VM that keeps its state."""
    live: Live | None
    """Its document, or that in its checkpoint."""

    @property
    def here(self) -> Executor:
        """The host that the guest is on."""
        return self.ctx.host(self.args["host"])

    @property
    def there(self) -> Executor:
        """The host that it is to go to."""
        return self.ctx.host(self.args["to"])

    def on_there(self, what: str, function: Callable[[Any], Any]) -> Any:
        """What libvirt of that host says."""
        return call(self.ctx, self.args["to"], what, function)


Check = Callable[[Question], Iterator[str]]


def premigrate(ctx: Context, args: Doc) -> Doc:
    """The problems: of any guest, of one that keeps its state (`keeps_state`), of one that runs on (`live`)."""
    problems: list[str] = []
    question = _question(ctx, args, problems)
    if question is None:
        return {"problems": problems}
    for check in _checks(args):
        try:
            problems += check(question)
        except Cancelled:
            raise
        except DriverError as error:
            problems.append(str(error))
    return {"problems": problems}


def _checks(args: Doc) -> tuple[Check, ...]:
    """Which there are to be made; on its own host a guest meets nothing new."""
    if args["host"]["name"] == args["to"]["name"]:
        return (_files,) if args.get("live") else ()
    return (*ALWAYS, *(KEPT if _keeps_state(args) else ()), *(LIVE if args.get("live") else ()))


def _keeps_state(args: Doc) -> bool:
    return bool(args.get("live") or args.get("keeps_state"))


def _question(ctx: Context, args: Doc, problems: list[str]) -> Question | None:
    """None, with the problem, when the state that is to be kept cannot be found."""
    try:
        guest = look(ctx, args) if _keeps_state(args) else None
        if guest is not None and guest.is_on:
            return Question(ctx, args, guest, read(ctx, args, guest))
        if args.get("live"):
            problems.append(f"VM {args['vm']['id']} does not run on {args['host']['name']}")
            return None
        return Question(ctx, args, None, Live(checkpoint.peek(ctx, args)) if _keeps_state(args) else None)
    except Cancelled:
        raise
    except DriverError as error:
        problems.append(str(error))
        return None


def _hypervisor(question: Question) -> Iterator[str]:
    """libvirt answers there, and runs guests as here: one made for KVM does not go on emulated, nor the reverse."""
    there = host_facts(question.ctx, question.args["to"])
    here = question.live.hypervisor if question.live else there.hypervisor
    question.on_there("asking libvirt of the host", lambda connection: connection.getLibVersion())
    if here != there.hypervisor:
        yield f"it runs on {here}, and {question.args['to']['name']} runs guests on {there.hypervisor}"


def _machine(question: Question) -> Iterator[str]:
    """The machine type and the emulator are known there."""
    assert question.live is not None
    arch, machine, emulator = question.live.machine()
    hypervisor = question.live.hypervisor
    try:
        question.on_there("asking for machine types",
                          lambda connection: connection.getDomainCapabilities(emulator, arch, machine, hypervisor))
    except Permanent as error:
        yield f"{question.args['to']['name']} has no machine {machine}: {error}"


def _cpu(question: Question) -> Iterator[str]:
    """The host there can give the guest the CPU that it has here."""
    assert question.live is not None
    there = question.args["to"]["name"]
    if question.live.cpu() is None or question.live.hypervisor != "kvm":
        return  # an emulated CPU is the same everywhere
    arch, machine, emulator = question.live.machine()
    cpu = _hosts_cpu(question) if question.live.has_hosts_cpu() else question.live.cpu()
    if cpu is None:
        yield f"{question.args['host']['name']} does not tell its CPU, which is the guest's too"
        return
    result = question.on_there("comparing CPUs", lambda connection: connection.compareHypervisorCPU(
        emulator, arch, machine, "kvm", cpu, 0))
    if result not in (libvirt.VIR_CPU_COMPARE_IDENTICAL, libvirt.VIR_CPU_COMPARE_SUPERSET):
        yield f"{there} has another CPU than the guest's, without some of its features"


def _hosts_cpu(question: Question) -> str | None:
    """The CPU of the host that the guest is on."""
    assert question.live is not None
    arch, machine, emulator = question.live.machine()
    return host_cpu(call(question.ctx, question.args["host"], "asking for the CPU", lambda connection: str(
        connection.getDomainCapabilities(emulator, arch, machine, "kvm"))))


def _networks(question: Question) -> Iterator[str]:
    """Each bridge is one there, or can be made of its physical device."""
    for nic in question.args["vm"].get("nics", ()):
        bridge, device = str(nic.get("BRIDGE") or ""), str(nic.get("PHYDEV") or "")
        path = f"/sys/class/net/{bridge}"
        if bridge and question.there.exists(path):
            if not question.there.exists(f"{path}/bridge"):
                yield f"NIC {nic['NIC_ID']}: {bridge} on {question.args['to']['name']} is no bridge"
        elif device and not question.there.exists(f"/sys/class/net/{device}"):
            yield f"NIC {nic['NIC_ID']}: {question.args['to']['name']} has no network device {device}"


def _boot_files(question: Question) -> Iterator[str]:
    """What the guest is started from beside its disks is there too."""
    os = question.args["vm"].get("attrs", {}).get("OS") or {}
    for name in _FILES:
        path = str(os.get(name) or "")
        if path.startswith("/") and not question.there.exists(path):
            yield f"{question.args['to']['name']} has no {path} (OS {name})"


def _devices(question: Question) -> Iterator[str]:
    """The guest has nothing that is of this host."""
    assert question.live is not None
    for tag in question.live.tags(_UNMOVABLE):
        yield f"its {tag} is a part of {question.args['host']['name']} and cannot move"


def _files(question: Question) -> Iterator[str]:
    """What of its files QEMU cannot copy."""
    assert question.live is not None and question.guest is not None
    way = trip(question.ctx, question.args)
    if way.here is not way.there and move_files.stays(way):
        return
    doing = move_files.plan(way.vm, question.live, look_at_files(way.here, way.vm) or {})
    yield from move_files.file_problems(way.vm, doing, question.live, one_host=way.here is way.there)
    held = move_files.inner(question.ctx, question.args, question.guest, doing)
    if held:
        yield f"it has {held}"


def _ports(question: Question) -> Iterator[str]:
    """The ports of its screen and console are free there."""
    assert question.live is not None
    listening = question.there.run(["ss", "-H", "-l", "-t", "-n"])
    taken = {line.split()[3].rpartition(":")[2] for line in listening.splitlines() if len(line.split()) > 3}
    for port in question.live.ports():
        if port in taken:
            yield f"port {port}, of its screen or console, is in use on {question.args['to']['name']}"


def _reach(question: Question) -> Iterator[str]:
    """libvirt here reaches libvirt there, and knows it by the name that it gives itself."""
    uri = target_uri(question.ctx, question.args["to"])
    try:
        question.here.run(["virsh", "-q", "-c", uri, "uri"], timeout=REACH_SECONDS)
    except DriverError as error:
        yield (f"{question.args['host']['name']} does not reach libvirt on {question.args['to']['name']} by {uri} "
               f"(kvm.migrate_uri): {error}")
        return
    if not question.there.run(["sh", "-c", _CONFIGURED]).strip():
        name = question.on_there("asking for its name", lambda connection: str(connection.getHostname()))
        if not question.here.run(["sh", "-c", 'getent ahosts "$1" || true', "sh", name]).strip():
            yield (f"{question.args['host']['name']} does not know the name {name} by which "
                   f"{question.args['to']['name']} takes guests (migration_host in its qemu.conf is another)")


ALWAYS: tuple[Check, ...] = (_hypervisor, _networks, _boot_files)
KEPT: tuple[Check, ...] = (_machine, _cpu, _devices, _ports)
LIVE: tuple[Check, ...] = (_files, _reach)
