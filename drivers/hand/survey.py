"""The survey: all that is on a host and may be a VM's, asked once: domains, directories, taps."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from xml.etree import ElementTree

from drivers.hand.failure import Failure
from drivers.hand.probe_guests import STRANGER, Domain, domains, identity
from drivers.hand.probe_proc import NET, read
from drivers.hand.probe_virsh import Virsh
from drivers.hand.token import Token
from drivers.hand.wire import Doc, Wire

MODULES = ("drivers.hand.survey", "drivers.hand.probe_guests", "drivers.hand.probe_proc", "drivers.hand.probe_virsh",
           "drivers.hand.commands", "drivers.hand.failure", "drivers.hand.token")
LIBVIRT_SECONDS = 20.0
SIZES_SECONDS = 10.0
"""How long sizes are added up; what was found until then is told."""


def survey(argument: Doc, wire: Wire) -> None:
    """The program: one document, {"domains", "dirs", "taps"} or {"error"}."""
    answering(wire, lambda: _survey(argument))


def answering(wire: Wire, work: Callable[[], Doc]) -> None:
    """Send what WORK gives; a failure as {"error", "temporary"}."""
    try:
        wire.send(work())
    except Failure as failure:
        wire.send({"error": str(failure), "temporary": failure.temporary})


def _survey(argument: Doc) -> Doc:
    there = taps()  # first: a domain that starts meanwhile is seen, and its taps are not taken for orphans
    found = described(Virsh(argument["uri"], Token()), time.monotonic() + LIBVIRT_SECONDS)
    used = {name for domain, xml in found if domain.run for name in interfaces(xml)}
    return {"domains": [_domain(*each) for each in found], "taps": [name for name in there if name not in used],
            "dirs": list(directories(argument["datastores"], time.monotonic() + SIZES_SECONDS))}


def described(virsh: Virsh, end: float) -> list[tuple[Domain, str]]:
    """All domains, running or not, each with its XML; without those that vanished meanwhile."""
    answers = virsh.ask(["uri", "list --all"], end)
    answers.needed(0)
    rows = domains(answers.texts[1])
    texts = virsh.ask([f"dumpxml {row.run or quoted(row.name)}" for row in rows], end).texts
    return [(row, texts[index]) for index, row in enumerate(rows) if texts[index].strip()]


def quoted(name: str) -> str:
    """NAME as virsh's own language has it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _domain(domain: Domain, xml: str) -> Doc:
    vm, generation, uuid = identity(xml) or STRANGER
    return {"name": domain.name, "id": vm, "generation": generation, "uuid": uuid, "state": domain.state}


def interfaces(xml: str) -> list[str]:
    """The host's ends of a domain's network cards."""
    return [node.attrib["dev"] for node in ElementTree.fromstring(xml).findall("devices/interface/target")
            if node.get("dev")]


def taps(net: str = NET) -> list[str]:
    """Tap devices that VMs may have left: ours (one-…), and libvirt's (vnet…) that no process holds."""
    found = sorted(name for name in os.listdir(net) if os.path.exists(f"{net}/{name}/tun_flags"))
    return [name for name in found
            if name.startswith("one-") or (name.startswith("vnet") and not _is_held(f"{net}/{name}"))]


def _is_held(device: str) -> bool:
    """Whether a process is at the other end; a device that is down does not tell, which counts as no."""
    try:
        return read(f"{device}/carrier").strip() == "1"
    except Failure:
        return False


def directories(datastores: Sequence[Doc], end: float) -> Iterator[Doc]:
    """Directories of VMs, `BASE/NUMBER`, with what their files take; sizes are added up until END (monotonic)."""
    for datastore in datastores:
        base = datastore["base_path"]
        for name in sorted(_names(base), key=int):
            path = os.path.join(base, name)
            yield {"ds": datastore["id"], "vm": int(name), "path": path, "size_mb": -(-_bytes(path, end) >> 20)}


def _names(base: str) -> list[str]:
    try:
        with os.scandir(base) as entries:
            return [entry.name for entry in entries
                    if entry.name.isascii() and entry.name.isdecimal() and entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _bytes(path: str, end: float) -> int:
    """What all files below PATH take on disk, as far as can be seen until END."""
    taken = 0
    for folder, _, names in os.walk(path):
        for name in names:
            if time.monotonic() > end:
                return taken
            try:
                taken += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue
    return taken
