"""What the facts about a host mean: checks with a name, whether all is well, what was found, and what to do.  Pure."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drivers.hand.parcel import TOO_OLD
from onecore.wire.messages import Doc

NAMES = ("ssh", "python", "root", "libvirt", "qemu", "tools", "clock", "versions")
"""Of checks that each host gets; `storage ID` and `bridge NAME` come for each datastore and bridge."""
MOST_SKEW = 2.0
_NEEDED = {"virsh": "libvirt-clients", "qemu-img": "qemu-utils", "ip": "iproute2"}
_ISO = ("genisoimage", "mkisofs", "xorriso")
_NO_PYTHON = ("no Python 3", TOO_OLD)
Facts = Mapping[str, Any]


def _check(name: str, ok: bool, found: str, fix: str = "") -> Doc:
    return {"name": name, "ok": ok, "found": found, "fix": "" if ok else fix}


def not_asked(names: Iterable[str]) -> list[Doc]:
    """The checks that could not be made."""
    return [_check(name, False, "not asked") for name in names]


def unreachable(host: Doc, user: str, error: str) -> list[Doc]:
    """`ssh` and `python` for a host on which nothing can be run, by what the attempt said."""
    if any(words in error for words in _NO_PYTHON):
        return [_check("ssh", True, "answers"),
                _check("python", False, error, f"install Python 3.9 or newer on {host['name']} (package python3)")]
    return [_check("ssh", False, error, _mend_ssh(str(host["name"]), user, error)), *not_asked(["python"])]


def _mend_ssh(name: str, user: str, error: str) -> str:
    """What to do about an SSH ERROR; those about keys say it themselves."""
    if "ssh key" in error.lower() or "our keys" in error:
        return "do what the message says, then check again"
    if "Name or service" in error or "name resolution" in error or "No address" in error:
        return f"register the host by a name that resolves here (DNS, /etc/hosts), or by its address; not {name}"
    if "No route" in error or "refused" in error or "no answer" in error or "unreachable" in error:
        return f"see that {name} is on, its SSH server runs on the configured port, and no firewall is between"
    return f"make `ssh -o BatchMode=yes {user}@{name} true` work for the user that runs oned"


def findings(host: Doc, facts: Facts, datastores: Sequence[Doc]) -> list[Doc]:
    """All checks of a host that answers."""
    where = "this machine" if facts["local"] else f"answers in {1000 * facts['reached']:.0f} ms"
    return [_check("ssh", True, f"{where}, user {facts['user']['name']}"),
            _check("python", True, facts["python"]), _root(facts), _libvirt(facts), _qemu(facts), _tools(facts),
            _clock(facts), _versions(facts),
            *(_storage(facts, each, found) for each, found in zip(datastores, facts["storage"], strict=True)),
            *(_bridge(found) for found in facts["bridges"])]


def _root(facts: Facts) -> Doc:
    """Networks, files of root's guests and locks need root; anybody else gets as far as libvirt lets them."""
    name = facts["user"]["name"]
    return _check("root", facts["user"]["uid"] == 0, f"works as {name}",
                  f"taps, bridges and files of guests need root: set SSH_USER=root, not {name}")


def _libvirt(facts: Facts) -> Doc:
    found = facts["libvirt"]
    if "error" in found:
        if "does not answer" in found["error"]:
            return _check("libvirt", False, found["error"], "restart it, guests run on: systemctl restart libvirtd")
        return _check("libvirt", False, found["error"],
                      "install libvirt-daemon-system and start it: systemctl enable --now libvirtd "
                      "(or virtqemud.socket)")
    return _check("libvirt", True, f"{found['version']}, answers in {found['ms']} ms")


def _qemu(facts: Facts) -> Doc:
    found = facts["qemu"]
    if not found["path"]:
        return _check("qemu", False, "no emulator", "install qemu-system-x86 (qemu-kvm on Red Hat and SUSE)")
    if facts["kind"] not in ("kvm", "qemu"):
        return _check("qemu", False, facts["kind"], "mend the section drivers.kvm of oned.conf")
    return _check("qemu", True, f"{found['version'] or 'unknown version'}, {_accelerator(facts)}")


def _accelerator(facts: Facts) -> str:
    if facts["kind"] == "kvm":
        return "KVM"
    if not facts["kvm"]["device"]:
        return "emulation (slow): no /dev/kvm, is virtualization on in the firmware?"
    if not facts["kvm"]["usable"]:
        return "emulation (slow): /dev/kvm cannot be opened"
    return "emulation until a guest has proved that KVM works"


def _tools(facts: Facts) -> Doc:
    missing = {tool: package for tool, package in _NEEDED.items() if tool not in facts["tools"]}
    if not set(_ISO) & set(facts["tools"]):
        missing["genisoimage or xorriso"] = "genisoimage"
    found = f"no {', no '.join(missing)}" if missing else ", ".join(facts["tools"])
    return _check("tools", not missing, found, f"install {' '.join(missing.values())}")


def _clock(facts: Facts) -> Doc:
    skew = facts["skew"]
    found = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the front-end's"
    return _check("clock", abs(skew) < MOST_SKEW, found,
                  "let both follow the same time server: apt install chrony && chronyc makestep")


def _versions(facts: Facts) -> Doc:
    libvirt, qemu = facts["libvirt"].get("version"), facts["libvirt"].get("qemu") or facts["qemu"]["version"]
    return _check("versions", bool(libvirt and qemu), f"libvirt {libvirt or 'unknown'}, QEMU {qemu or 'unknown'}",
                  "see the checks libvirt and qemu")


def _storage(facts: Facts, datastore: Doc, found: Facts) -> Doc:
    base, name = datastore["base_path"], f"storage {datastore['id']}"
    if found["error"]:
        return _check(name, False, f"{found['there']} cannot be written: {found['error']}",
                      f"make {base} writable for {facts['user']['name']}, and its file system not full")
    room = f"{found['free_mb']} MB free" if "free_mb" in found else "its file system does not say how much is free"
    made = f"{base}, {room}" if found["there"] == base else f"{base} will be made in {found['there']}, {room}"
    if facts["local"] or not datastore["token"]:
        return _check(name, True, made)
    return _shared(name, datastore, found, made)


def _shared(name: str, datastore: Doc, found: Facts, made: str) -> Doc:
    """Whether host and front-end see the same files exactly when the datastore says so."""
    base = datastore["base_path"]
    if datastore.get("shared") and not found["sees"]:
        return _check(name, False, f"{base} holds other files than the front-end's",
                      f"mount the same file system at {base} on both, or let datastore {datastore['id']} be local: "
                      f"SHARED=NO, TM_MAD=ssh")
    if not datastore.get("shared") and found["sees"]:
        return _check(name, False, f"{base} is shared with the front-end, against what the datastore says",
                      f"give it a file system of the host's own, or set SHARED=YES, TM_MAD=shared in datastore "
                      f"{datastore['id']}")
    return _check(name, True, f"{made}, {'the same files as' if found['sees'] else 'apart from'} the front-end's")


def _bridge(found: Facts) -> Doc:
    name = found["name"]
    if not found["there"]:
        return _check(f"bridge {name}", True, "will be made for its first VM")
    if not found["bridge"]:
        return _check(f"bridge {name}", False, f"{name} is a network device, and no bridge",
                      f"rename the device, or give the network another BRIDGE than {name}")
    uplinks = ", ".join(found["uplinks"])
    return _check(f"bridge {name}", True, f"uplink {uplinks}" if uplinks else "there, without an uplink")
