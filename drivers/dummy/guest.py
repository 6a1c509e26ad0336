"""A dummy guest as its file says it: generation, state, what it takes of its host, and what it has."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from zlib import crc32

from drivers.dummy.folder import size_mb
from onecore.wire.messages import Doc

INCOMING = "incoming"
"""The state of a guest that arrives from another host and does not run yet."""
_NIC = ("MAC", "IP", "BRIDGE", "FILTER", "LINK_STATE")
_LIMITS = ("INBOUND_", "OUTBOUND_")


@dataclass(frozen=True, slots=True)
class Guest:
    """What runs; `state` as in a News (running, poweroff, crashed, suspended), or INCOMING."""

    generation: int
    state: str = "running"
    cpu: float = 1.0
    memory_kb: int = 0
    has: str = ""
    """What it has, as JSON; '' for a guest that somebody else made."""

    def text(self) -> str:
        """The content of its file."""
        return f"{self.generation} {self.state} {self.cpu:g} {self.memory_kb} {self.has}\n"

    @staticmethod
    def parse(text: str) -> Guest | None:
        """What a file says; None when it says nothing that can be understood."""
        words = text.partition("\n")[0].split(None, 4)
        try:
            rest = (float(words[2]), int(words[3]), *words[4:]) if len(words) > 3 else ()
            return Guest(int(words[0]), words[1], *rest)  # type: ignore[arg-type]
        except (ValueError, IndexError):
            return None

    def equipment(self) -> Doc:
        """What it has, decoded: `vcpu`, `disks` (MB by id), `nics` (attributes by id), `context` (a sum), `dir` …"""
        try:
            found = json.loads(self.has or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def with_equipment(self, equipment: Doc) -> Guest:
        """The same guest with EQUIPMENT."""
        return replace(self, has=_packed(equipment))


def guest_of(vm: Doc, state: str = "running") -> Guest:
    """The guest that the VM's document describes; memory in KB."""
    return Guest(vm["generation"], state, float(vm.get("cpu", 1)), int(vm.get("memory_mb", 0)) * 1024,
                 _packed(equipment_of(vm)))


def equipment_of(vm: Doc) -> Doc:
    """What a guest of the VM's document has."""
    return {"vcpu": int(vm.get("vcpu", 1)),
            "disks": {str(disk["DISK_ID"]): size_mb(disk) for disk in vm.get("disks", ())},
            "nics": {str(nic["NIC_ID"]): nic_facts(nic) for nic in vm.get("nics", ()) if not is_alias(nic)},
            "context": context_sum(vm), "dir": str(vm.get("dir", ""))}


def nic_facts(nic: Mapping[str, str]) -> dict[str, str]:
    """What a guest's NIC has of the document."""
    return {name: value for name, value in nic.items() if value and (name in _NIC or name.startswith(_LIMITS))}


def is_alias(nic: Mapping[str, str]) -> bool:
    """Whether it is an address on another NIC."""
    return bool(nic.get("PARENT_ID") or nic.get("PARENT"))


def context_sum(vm: Doc) -> int:
    """A check sum of the context: the guest's CD is that of a document if it is the same."""
    return crc32(json.dumps(vm.get("context") or {}, sort_keys=True).encode())


def _packed(equipment: Doc) -> str:
    return json.dumps(equipment, separators=(",", ":"))
