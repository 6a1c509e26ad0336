"""Facts for `onehost check`: whether a host has what VMs need; nothing is judged here, and nothing left behind."""
from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress

from drivers.hand import commands
from drivers.hand.failure import Failure
from drivers.hand.probe_proc import NET, started
from drivers.hand.probe_space import Spaces, nearest
from drivers.hand.probe_virsh import Virsh, versions
from drivers.hand.token import Token
from drivers.hand.wire import Doc, Wire

MODULES = ("drivers.hand.probe_check", "drivers.hand.probe_proc", "drivers.hand.probe_space",
           "drivers.hand.probe_virsh", "drivers.hand.commands", "drivers.hand.failure", "drivers.hand.token")
LIBVIRT_SECONDS = 8.0
SPACE_SECONDS = 2.0
TOOLS = ("virsh", "qemu-img", "ip", "genisoimage", "mkisofs", "xorriso")
_EMULATORS = ("qemu-system-{arch}", "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm")
_NUMBER = re.compile(r"version (\d[\d.]*)")


def check(argument: Doc, wire: Wire) -> None:
    """The program: one document with what is there of all that was asked for."""
    token = Token()
    path = commands.child_environment({})["PATH"]
    wire.send({"user": {"uid": os.geteuid(), "name": _user()}, "python": platform.python_version(),
               "running": started(), "libvirt": _libvirt(argument["uri"], token),
               "qemu": _qemu(path, token),
               "kvm": {"device": os.path.exists("/dev/kvm"), "usable": os.access("/dev/kvm", os.R_OK | os.W_OK)},
               "tools": [tool for tool in TOOLS if shutil.which(tool, path=path)],
               "storage": [_storage(each) for each in argument["datastores"]],
               "bridges": [bridge(name) for name in argument["bridges"]], "time": time.time()})


def _user() -> str:
    try:
        import pwd
        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return str(os.geteuid())


def _libvirt(uri: str, token: Token) -> Doc:
    began = time.monotonic()
    try:
        text = Virsh(uri, token).ask(["version --daemon"], began + LIBVIRT_SECONDS).needed(0)
    except Failure as failure:
        return {"error": str(failure)}
    found = versions(text)
    return {"version": found.get("against daemon", ""), "qemu": found.get("hypervisor", ""),
            "ms": round(1000 * (time.monotonic() - began))}


def _qemu(path: str, token: Token) -> Doc:
    """The emulator that libvirt would take, and its version; '' where there is none."""
    names = (name.format(arch=os.uname().machine) for name in _EMULATORS)
    found = next((where for where in (shutil.which(name, path=path) for name in names) if where), "")
    if not found:
        return {"path": "", "version": ""}
    with suppress(Failure):
        match = _NUMBER.search(commands.run([found, "--version"], b"", {}, token, LIBVIRT_SECONDS).out.decode())
        return {"path": found, "version": match.group(1) if match else ""}
    return {"path": found, "version": ""}


def _storage(datastore: Doc) -> Doc:
    """Whether the datastore's directory, or the one it will be made in, takes files, and whether a token is there."""
    base = datastore["base_path"]
    there = nearest(base)
    return {"id": datastore["id"], "there": there, "error": _refusal(there),
            "sees": bool(datastore.get("token")) and os.path.exists(os.path.join(base, datastore["token"])),
            **next(iter(Spaces([{"id": datastore["id"], "base_path": base}]).take(SPACE_SECONDS)), {})}


def _refusal(directory: str) -> str:
    """Why no file can be written in DIRECTORY; '' when one can."""
    path = os.path.join(directory, f".onecore-check-{secrets.token_hex(6)}")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error.strerror or str(error)
    try:
        os.write(fd, b"onecore\n")
        os.fsync(fd)
        return ""
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(fd)
        os.unlink(path)


def bridge(name: str, net: str = NET) -> Doc:
    """What the network device NAME is: whether it is there and a bridge, and its ports that lead out of the host."""
    device = os.path.join(net, name)
    ports = os.listdir(f"{device}/brif") if os.path.isdir(f"{device}/brif") else []
    return {"name": name, "there": os.path.exists(device), "bridge": os.path.isdir(f"{device}/bridge"),
            "uplinks": sorted(port for port in ports if not os.path.exists(f"{net}/{port}/tun_flags"))}
