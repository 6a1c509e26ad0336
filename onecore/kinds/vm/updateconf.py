"""one.vm.updateconf: the configuration of a VM that exists.  A running guest's context is renewed, the rest is for its
next start.

What may change is listed here, by vector and key; a key that is not listed may only be as it is.
"""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument
from onecore.kinds import restricted
from onecore.kinds.kind import changing, parse_template, tree_of
from onecore.kinds.vm import context, ports, shape
from onecore.kinds.vm.change_rows import COLD
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire, state_of
from onecore.kinds.vm.record import Vm, VmText
from onecore.wire.template import Tree, Vector

CONF: dict[str, tuple[str, ...]] = {
    "OS": ("ARCH", "MACHINE", "KERNEL", "KERNEL_DS", "INITRD", "INITRD_DS", "BOOTLOADER", "BOOT", "KERNEL_CMD", "ROOT",
           "SD_DISK_BUS", "UUID", "FIRMWARE", "FIRMWARE_SECURE", "FIRMWARE_FORMAT"),
    "FEATURES": ("PAE", "ACPI", "APIC", "LOCALTIME", "HYPERV", "GUEST_AGENT", "VIRTIO_SCSI_QUEUES",
                 "VIRTIO_BLK_QUEUES", "IOTHREADS", "GIC", "RAS", "MIGRATE_AUTO_CONVERGE", "MIGRATE_COMPRESSED"),
    "INPUT": ("TYPE", "BUS"),
    "GRAPHICS": ("TYPE", "LISTEN", "PORT", "PASSWD", "KEYMAP", "COMMAND"),
    "VIDEO": ("TYPE", "IOMMU", "ATS", "VRAM", "RESOLUTION"),
    "RAW": ("TYPE", "DATA", "DATA_VMX", "VALIDATE"),
    "CPU_MODEL": ("MODEL", "FEATURES"),
    "TPM": ("MODEL",),
    "TOPOLOGY": ("SOCKETS", "CORES", "THREADS"),
    "SERIAL": ("TYPE", "LISTEN", "PORT", "PROTOCOL"),
}
"""What may change, besides all of CONTEXT."""


@method("one.vm.updateconf", right="MANAGE", on="vm")
def updateconf(req: Request, vm: Vm, template: str, append: int = 0) -> int:
    """Change what is given (append 1), or all that may change (0): then what is not given goes, but for CONTEXT."""
    check(vm, "updateconf")
    if append not in (0, 1):
        raise BadArgument(f"append must be 0 (replace) or 1 (merge), not {append}", vm.oid)
    tree, user = template_of(req.tx, vm), _user(req, vm).copy()
    with changing():
        given = _given(vm, parse_template(template))
        for name in CONF:
            part = user if name in shape.OF_USER else tree
            _set(part, name, _renewed(req, vm, name, part.vector(name), given.vector(name), bool(append)))
        if "CONTEXT" in given:
            _context(req, vm, tree, given.vector("CONTEXT") or {}, bool(append))
        _check(req, vm, tree, user)
    fire(req.tx, req.core, vm, "updateconf", tree=tree, user=user)
    return vm.oid


def _given(vm: Vm, given: Tree) -> Tree:
    """GIVEN in the shape of a VM's template; raises BadArgument naming what may not change at all."""
    for name in given.names():
        if name not in CONF and name != "CONTEXT":
            raise BadArgument(f"template: {name} cannot be changed by updateconf; what can: "
                              f"{', '.join((*CONF, 'CONTEXT'))}", vm.oid)
    shape.check(given)
    return given


def _renewed(req: Request, vm: Vm, name: str, old: Vector | None, given: Vector | None, append: bool) -> Vector:
    """A vector as it shall be, empty for none; raises BadArgument or Forbidden naming the key that may not change."""
    old = old or {}
    fixed = () if req.caller.admin else restricted.keys(req.core, "vm", name, CONF[name])
    for key, value in (given or {}).items():
        if key not in CONF[name] and old.get(key, "") != value:
            raise BadArgument(f"template: {name}/{key} cannot be changed by updateconf; what can: "
                              f"{', '.join(CONF[name])}", vm.oid)
        if key in fixed and old.get(key, "") != value:
            raise restricted.refusal("vm", f"{name}/{key}", vm.oid)
    gone = () if append else [key for key in CONF[name] if key not in fixed and key not in (given or {})]
    return {key: value for key, value in {**old, **(given or {})}.items() if value and key not in gone}


def _set(part: Tree, name: str, vector: Vector) -> None:
    if vector:
        part.set(name, vector)
    else:
        part.remove(name)


def _context(req: Request, vm: Vm, tree: Tree, given: Vector, append: bool) -> None:
    old = tree.vector("CONTEXT")
    if old is None:
        raise BadArgument(f"template: VM {vm.oid} was made without CONTEXT and cannot be given one", vm.oid)
    if not req.caller.admin:
        for key in restricted.keys(req.core, "vm", "CONTEXT", {**old, **given}):
            if key in given and given[key] != old.get(key, ""):
                raise restricted.refusal("vm", f"CONTEXT/{key}", vm.oid)
            if key in old:
                given = {**given, key: old[key]}
    context.renewed(req, tree, vm.oid, vm.name, given, append)


def _check(req: Request, vm: Vm, tree: Tree, user: Tree) -> None:
    """What is to be said of the whole: shapes, variables of RAW, ports that nobody else has."""
    part = Tree(pair for pair in tree if pair[0] in CONF)
    shape.check(part)
    for name in shape.KEYS.keys() & set(part.names()):
        tree.set(name, part.vector(name) or {})
    before, raw = Tree([*template_of(req.tx, vm), *_user(req, vm)]), tree.vector("RAW")
    if raw is not None and raw != before.vector("RAW"):
        context.fill(req, tree, vm.oid, vm.name, raw)
    asked = [(part.vector("OS") or {}).get("UUID", "") for part in (before, tree)]
    if asked[0] != asked[1] and state_of(vm) not in COLD:
        raise BadArgument(f"template: OS/UUID cannot change while VM {vm.oid} may have a guest, which is known by it; "
                          "power it off", vm.oid)
    busy = {port: oid for hid in (vm.hid, vm.to_hid) if hid >= 0 for port, oid in
            ports.taken(req.core, hid, vm.oid).items()}
    for name, vector in (("GRAPHICS", tree.vector("GRAPHICS")), ("SERIAL", user.vector("SERIAL"))):
        if vector is not None:
            _check_port(vm, name, vector, (before.vector(name) or {}).get("PORT", ""), busy)
    ports.give(req.core.config.defaults, Tree([*tree, *user]), vm.oid, busy)


def _check_port(vm: Vm, name: str, vector: Vector, was: str, busy: dict[int, int]) -> None:
    """A port that a guest may have stays; another one must be free on the VM's host."""
    port = vector.get("PORT") or was
    if port != was and was and state_of(vm) not in COLD:
        raise BadArgument(f"template: {name}/PORT cannot change while VM {vm.oid} may have a guest; power it off",
                          vm.oid)
    if port != was and port.isdecimal() and int(port) in busy:
        raise BadArgument(f"template: {name}/PORT {port} is VM {busy[int(port)]}'s on host {vm.hid}", vm.oid)
    if port:
        vector["PORT"] = port


def _user(req: Request, vm: Vm) -> Tree:
    text = req.tx.get(VmText, vm.oid)
    return tree_of(text.user) if text is not None else Tree()
