"""net/bridge: a Linux bridge for each network, made when missing and taken away when we made it and nobody uses it.

A bridge of ours carries an alias that says so; one that was made, but whose maker was stopped before it set the alias,
is known by a file that was there first.  The VMs that use a bridge are files, too, so that the time between making it
and plugging into it needs no guess.  All of that is in /run and as gone as the bridge after a restart of the host.
"""
from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from drivers.base import Action, Context, Executor, Permanent
from onecore.wire.messages import Doc

ALIAS = "onecore"
USERS = "/run/onecore/bridges"
_LOOK = 0.2
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\Z")


def pre(ctx: Context, args: Doc) -> Doc:
    """Every bridge of the VM's NICs is there, up, with its PHYDEV in it, and knows the VM as a user."""
    executor = ctx.host(args["host"])
    for name, phydev in bridges(args["vm"]).items():
        with _alone(ctx, args["host"], name):
            executor.run(["mkdir", "-p", "--", f"{USERS}/{name}"])
            executor.write(_user(name, args["vm"]), b"")
            _make(executor, name)
            _enslave(executor, name, phydev)
    return {}


def post(ctx: Context, args: Doc) -> Doc:
    """Nothing: libvirt plugs the taps."""
    return {}


def clean(ctx: Context, args: Doc) -> Doc:
    """The VM is no user any more; a bridge that we made, without user, port or address, goes."""
    executor = ctx.host(args["host"])
    for name, phydev in bridges(args["vm"]).items():
        with _alone(ctx, args["host"], name):
            executor.run(["rm", "-f", "--", _user(name, args["vm"])])
            _mark(executor, name)
            if _is_ours(executor, name) and not _in_use(executor, name, phydev):
                executor.run(["ip", "link", "delete", "dev", name, "type", "bridge"])
                executor.run(["rmdir", "--ignore-fail-on-non-empty", "--", f"{USERS}/{name}"])
    return {}


def bridges(vm: Doc) -> dict[str, str]:
    """The bridges of the VM's NICs, each with its physical device or ''; Permanent for a name no device can have."""
    found: dict[str, str] = {}
    for nic in vm.get("nics", []):
        name = check_name(str(nic.get("BRIDGE") or ""), f"BRIDGE of NIC {nic.get('NIC_ID')}")
        phydev = str(nic.get("PHYDEV") or "")
        found[name] = check_name(phydev, "PHYDEV") if phydev else found.get(name, "")
    return found


def check_name(name: str, what: str) -> str:
    """NAME if a network device can be called so; else Permanent."""
    if not _NAME.match(name) or name in (".", ".."):
        raise Permanent(f"{what}: {name!r} cannot be the name of a network device")
    return name


def has_addresses(listed: str) -> bool:
    """Whether `ip -json address show` lists an address that somebody gave: any but the kernel's own link-local IPv6."""
    return any(not (found.get("family") == "inet6" and found.get("scope") == "link")
               for device in json.loads(listed or "[]") for found in device.get("addr_info", ()))


def _user(name: str, vm: Doc) -> str:
    return f"{USERS}/{name}/{int(vm['id'])}"


def _making(name: str) -> str:
    return f"{USERS}/{name}/making"


def _make(executor: Executor, name: str) -> None:
    """The bridge, up; made, and marked as ours, if it is missing."""
    if not executor.exists(f"/sys/class/net/{name}"):
        executor.write(_making(name), b"")
        executor.run(["ip", "link", "add", "name", name, "type", "bridge", "forward_delay", "0", "stp_state", "0"])
    _mark(executor, name)
    if not executor.exists(f"/sys/class/net/{name}/bridge"):
        raise Permanent(f"the host has a network device {name} that is no bridge")
    executor.run(["ip", "link", "set", "dev", name, "up"])


def _mark(executor: Executor, name: str) -> None:
    """The bridge gets its alias if somebody began to make it, and did not come to that."""
    if executor.exists(_making(name)):
        if executor.exists(f"/sys/class/net/{name}/bridge"):
            executor.run(["ip", "link", "set", "dev", name, "alias", ALIAS])
        executor.run(["rm", "-f", "--", _making(name)])


def _enslave(executor: Executor, name: str, phydev: str) -> None:
    if phydev and not executor.exists(f"/sys/class/net/{name}/brif/{phydev}"):
        executor.run(["ip", "link", "set", "dev", phydev, "master", name, "up"])


def _is_ours(executor: Executor, name: str) -> bool:
    if not executor.exists(f"/sys/class/net/{name}/bridge"):
        return False
    return executor.read(f"/sys/class/net/{name}/ifalias").decode(errors="replace").strip() == ALIAS


def _in_use(executor: Executor, name: str, phydev: str) -> bool:
    users = executor.run(["ls", "-A", "--", f"{USERS}/{name}"]).split() if executor.exists(f"{USERS}/{name}") else []
    ports = executor.run(["ls", "-A", "--", f"/sys/class/net/{name}/brif"]).split()
    return bool(users or [port for port in ports if port != phydev]
                or has_addresses(executor.run(["ip", "-json", "address", "show", "dev", name])))


@contextmanager
def _alone(ctx: Context, host: Doc, name: str) -> Iterator[None]:
    """One action at a time on one bridge of one host; waits at most as long as the command has."""
    lock: threading.Lock = ctx.keep(f"bridge/{host.get('id')}/{name}", threading.Lock)
    while not lock.acquire(timeout=_LOOK):
        ctx.check()
    try:
        yield
    finally:
        lock.release()


ACTIONS: dict[str, Action] = {"pre": pre, "post": post, "clean": clean}
