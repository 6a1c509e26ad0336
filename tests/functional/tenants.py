"""Two tenants in a simulated cloud, each with everything: who is who, what is whose, and calls written as text."""
from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim import Sim

from onecore.api import TABLE
from onecore.auth.acl import CLUSTER, GROUP, INDIVIDUAL, RESOURCES, RIGHTS
from onecore.kinds.image.record import Image
from onecore.kinds.kind import KINDS
from onecore.lifecycle.outbox import Outbox
from onecore.wire.states import ImageState

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "rights.txt"
ROLES = ("user", "admin", "stranger")
CREATED = "VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VMGROUP"
OWNED = {
    "image": 'NAME="{name}"\nTYPE=DATABLOCK\nSIZE=10', "template": 'NAME="{name}"\nCPU=1\nMEMORY=64',
    "document": 'NAME="{name}"', "secgroup": 'NAME="{name}"',
    "vmgroup": 'NAME="{name}"\nROLE=[NAME=web]\nROLE=[NAME=idle]'}
"""What the user of a tenant makes: by kind, its template; a new kind of objects that users own goes here."""
MORE = {"image": ("datastore",), "document": (100,)}
"""Arguments of `allocate` after the template: numbers, or kinds."""
ALIASES = {"net": "vnet", "bare": "vnet", "second": "group", "desk": "group", "mate": "user", "admin": "user",
           "system": "datastore", "waiting": "vm", "busy": "vm", "snapped": "vm",
           "spare": "image", "guards": "secgroup", "apart": "vmgroup", "together": "vm"}
"""Words for the other objects of a kind."""
_PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_PASSING = re.compile(rb"&lt;MONITORING&gt;.*?&lt;/MONITORING&gt;|&lt;(LAST_POLL|NEXT_INDEX)&gt;\d+&lt;/\1&gt;", re.S)
"""What of a body changes by itself, or, where the search for a free address begins, by what was only tried."""


@dataclass(frozen=True)
class Row:
    """One line of tests/golden/rights.txt."""

    line: int
    method: str
    verdicts: dict[str, str]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"rights.txt line {self.line}: {self.method} {' '.join(self.words)}"


def rows() -> Iterator[Row]:
    """The golden table."""
    for number, line in enumerate(GOLDEN.read_text().splitlines(), 1):
        words = [word.replace("\\n", "\n") for word in shlex.split(line, comments=True)]
        if words:
            method, *rest = words
            yield Row(number, method, dict(zip(ROLES, rest[:3], strict=True)), tuple(rest[3:]))


def typed(method: str, words: list[str]) -> list[Any]:
    """WORDS as the types that a method reads; those of a dry run as the method that it tries does."""
    if method == "onecore.dryrun":
        return [words[0], *typed(words[0], words[1:])]
    reads = {"int": int, "bool": lambda word: word == "true", "list": lambda word: [int(word)]}
    return [reads.get(p.type, str)(word) for p, word in zip(TABLE[method].parameters, words, strict=False)]


class Tenant:
    """A group with its administrator, its users, its VDC, and one object of each kind at least."""

    def __init__(self, sim: Sim, name: str, net: int) -> None:
        self.sim, self.name, self._net = sim, name, net
        self.ids: dict[str, int] = {}
        """{word: id}: of each kind, and of ALIASES."""
        self.fields: dict[tuple[str, str], str] = {}
        """{(word, field): text} of what is not an id."""
        self._place()
        self._people()
        self._things()
        self._vms()
        for word in self.ids:
            self.fields[word, "name"] = f"{name}-{word}"

    def secret(self, role: str) -> str:
        """The session of `user`, `admin`, `mate`, `keeper`; keeper has every right on all that is the tenant's."""
        return f"{self.name}-{role}:secret"

    def fill(self, word: str) -> str:
        """A word of the golden table with the tenant's ids."""
        return _PLACE.sub(lambda m: self.fields[m[1], m[2]] if m[2] else str(self.ids[m[1]]), word)

    def ids_of(self, word: str) -> list[int]:
        """All of the tenant's ids of the kind that WORD means."""
        kind = ALIASES.get(word, word)
        return sorted({oid for other, oid in self.ids.items() if ALIASES.get(other, other) == kind})

    def dump(self) -> dict[str, bytes]:
        """Every body of the tenant's objects, but for what changes by itself."""
        core, out = self.sim.core, {}
        for word, oid in self.ids.items():
            kind = KINDS.get(ALIASES.get(word, word))
            if kind is not None:
                out[f"{word} {oid}"] = _PASSING.sub(b"", b"".join(kind.body(core, kind.find(core, oid))))
        return out | {"operation": repr(self.sim.core.store.get(Outbox, self.ids["op"])).encode()}

    # -- making

    def _make(self, word: str, method: str, *arguments: Any, secret: str = "") -> None:
        self.ids[word] = int(self.sim.call(method, *arguments, secret=secret))

    def _place(self) -> None:
        """Groups, cluster, host, datastores, network; the VDC that gives them to the group."""
        sim, ids = self.sim, self.ids
        for word in ("group", "second", "desk"):
            self._make(word, "one.group.allocate", f"{self.name}-{word}")
            sim.call("one.vdc.delgroup", 0, ids[word])
        self._make("cluster", "one.cluster.allocate", f"{self.name}-cluster")
        self._make("host", "one.host.allocate", f"{self.name}-host", "dummy", "dummy", ids["cluster"])
        for word, kind in (("datastore", "IMAGE"), ("system", "SYSTEM")):
            self._make(word, "one.datastore.allocate", f'NAME="{self.name}-{word}"\nTYPE={kind}_DS\nTM_MAD=dummy\n'
                       'DS_MAD=dummy', ids["cluster"])
        self._make("net", "one.vn.allocate", f'NAME="{self.name}-net"\nVN_MAD=dummy\n'
                   f'AR=[TYPE=IP4,IP="10.{self._net}.0.1",SIZE=50]', ids["cluster"])
        self._make("vdc", "one.vdc.allocate", f'NAME="{self.name}-vdc"')
        sim.call("one.vdc.addgroup", ids["vdc"], ids["group"])
        for part, word in (("host", "host"), ("datastore", "datastore"), ("datastore", "system"), ("vnet", "net")):
            sim.call(f"one.vdc.add{part}", ids["vdc"], 0, ids[word])
        sim.until(lambda: sim.host_state(ids["host"]) == "MONITORED", what="the host")

    def _people(self) -> None:
        """The user, another one, the group's administrator, and the keeper with rules for everything."""
        sim, ids = self.sim, self.ids
        for word, groups in (("user", ("group", "second")), ("mate", ("group", "desk")),
                             ("admin", ("group", "second", "desk")), ("keeper", ("group",))):
            oid = int(sim.call("one.user.allocate", f"{self.name}-{word}", "secret", "core", [ids[g] for g in groups]))
            if word != "keeper":
                ids[word] = oid
        for word in ("group", "desk"):
            sim.call("one.group.addadmin", ids[word], ids["admin"])
        self._make("acl", "one.acl.addrule", f"{GROUP | ids['group']:x}", f"{_mask(CREATED) | 0x400000000:x}", "8")
        everything = f"{sum(RIGHTS.values()):x}"
        for kinds, target in (
                (f"{CREATED}+NET+USER", GROUP | ids["group"]), ("HOST+CLUSTER+DATASTORE+NET", CLUSTER | ids["cluster"]),
                ("GROUP", INDIVIDUAL | ids["group"]), ("VDC", INDIVIDUAL | ids["vdc"]), ("ZONE", INDIVIDUAL | 0)):
            sim.call("one.acl.addrule", f"{INDIVIDUAL | oid:x}", f"{_mask(kinds) | target:x}", everything)
        for kinds in ("HOST", "NET", "DATASTORE", "VDC"):
            sim.call("one.acl.addrule", f"{INDIVIDUAL | oid:x}", f"{_mask(kinds) | 0x400000000:x}", "8")

    def _things(self) -> None:
        """What the user has, and a hook about it."""
        sim, mine = self.sim, self.secret("user")
        for word in (*OWNED, "spare", "guards", "apart"):
            kind = ALIASES.get(word, word)
            more = [self.ids[m] if isinstance(m, str) else m for m in MORE.get(kind, ())]
            text = OWNED[kind].format(name=f"{self.name}-{word}")
            self._make(word, f"{KINDS[kind].api}.allocate", text, *more, secret=mine)
        for word in ("vnet", "bare"):
            self._make(word, "one.vn.reserve", self.ids["net"], f'NAME="{self.name}-{word}"\nSIZE=5', secret=mine)
        sim.call("one.vn.hold", self.ids["vnet"], f"LEASES=[IP=10.{self._net}.0.2]", secret=mine)
        self.fields |= {("vnet", "free"): f"10.{self._net}.0.1", ("vnet", "held"): f"10.{self._net}.0.2"}
        self._make("hook", "one.hook.allocate", f'NAME="{self.name}-hook"\nTYPE=api\nCALL=one.zone.raftstatus\n'
                   "COMMAND=/bin/true")
        sim.until(lambda: all(sim.get(Image, self.ids[word]).state == ImageState.READY for word in ("image", "spare")),
                  what="the images")

    def _vms(self) -> None:
        """One runs, one waits, one whose operation is endless, one with a system snapshot, one in a VM group."""
        sim, ids, mine = self.sim, self.ids, self.secret("user")
        text = (f'NAME="{self.name}-%s"\nCPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID={ids["image"]}]\nDISK=[TYPE=fs,SIZE=1]\n'
                f'NIC=[NETWORK_ID={ids["net"]},SECURITY_GROUPS="0,{ids["secgroup"]}"]\nCONTEXT=[NETWORK=YES]\n'
                "SCHED_ACTION=[ACTION=poweroff,TIME=+99999]\n%s")
        more = {"busy": "DUMMY=[ACTION=vm.reboot,HANG=YES]",
                "together": f'VMGROUP=[VMGROUP_ID={ids["vmgroup"]},ROLE=web]'}
        for word in ("vm", "waiting", "busy", "snapped", "together"):
            self._make(word, "one.vm.allocate", text % (word, more.get(word, "")), secret=mine)
            if word not in ("waiting", "together"):
                sim.call("one.vm.deploy", ids[word], ids["host"], False, ids["system"])
                sim.wait(ids[word], "RUNNING")
        sim.call("one.vm.disksnapshotcreate", ids["vm"], 0, "first", secret=mine)
        sim.call("one.vm.snapshotcreate", ids["snapped"], "first", secret=mine)
        sim.until(lambda: all(sim.state(ids[word]) == "RUNNING" for word in ("vm", "snapped")), what="snapshots")
        sim.advance(30)  # samples come
        sim.begin("one.vm.action", "reboot", ids["busy"], secret=mine)
        ids["op"] = sim.until(lambda: next((box.op for box in sim.core.store.all(Outbox) if box.oid == ids["busy"]), 0))


def _mask(kinds: str) -> int:
    return sum(RESOURCES[kind] for kind in kinds.split("+"))
