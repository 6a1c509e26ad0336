"""The domains of a host as virsh tells of them: who they are, how they are, and what they used."""
from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from drivers.hand.probe_virsh import Answers, Virsh
from drivers.hand.wire import Doc

NAMESPACE = "urn:onecore:domain:1"
"""Of our element in a domain's metadata."""
STATES = {"running": "running", "idle": "running", "in shutdown": "running", "no state": "running",
          "paused": "suspended", "pmsuspended": "suspended", "shut off": "poweroff", "crashed": "poweroff",
          "dying": "poweroff"}
"""virsh's words for states, and ours."""
_PAUSED = ("3", "7")
_ROW = re.compile(rf" *(-|\d+) +(.*?) +({'|'.join(STATES)})")
_DISK = re.compile(r"/disk\.(\d+)(?:\.snap/.*)?\Z")
_MB = 1 << 20
_STATS = "domstats --state --cpu-total --balloon --interface --block --list-running --list-paused --nowait --raw"
Counters = Mapping[str, str]


class Identity(NamedTuple):
    """Which VM a domain is, by our metadata in it."""

    vm: int
    generation: int
    uuid: str


STRANGER = Identity(-1, -1, "")
"""Of a domain that is not ours."""


class Domain(NamedTuple):
    """A row of `virsh list`; `run` is its number while it runs, else ''."""

    run: str
    name: str
    state: str


class Guests:
    """The running domains; asks once in each run of a domain who it is."""

    questions = (_STATS, "list")

    def __init__(self, virsh: Virsh) -> None:
        self._virsh = virsh
        self._known: dict[tuple[str, str], Identity | None] = {}
        self._used = CpuUse()
        self.complete = False
        """Whether the last answers told of every domain there is."""

    def take(self, answers: Answers, end: float) -> list[Doc]:
        """What the core gets of each domain, from the answers to `questions`; who cannot be told is left out.

        A domain may have no counters: it has just started, is asleep, or libvirt could not tell those of all.
        """
        stats, rows = counters(answers.texts[0]), domains(answers.texts[1])
        there = {(row.name, row.run): row.state for row in rows if row.run}
        percent = self._used.percent({key: stats[key[0]] for key in there if key[0] in stats}, time.monotonic())
        anew = {key for key in there if key not in percent or key not in self._known}
        self._learn(there, anew, end)
        told = sorted(there.keys() & self._known.keys())
        self.complete = len(told) == len(there) and not (answers.complaints and not there)
        return [sample(key[0], self._known[key], stats.get(key[0], {}), percent.get(key, 0.0), there[key])
                for key in told]

    def _learn(self, there: Iterable[tuple[str, str]], anew: Iterable[tuple[str, str]], end: float) -> None:
        """Ask who those are that were not seen before, forget those that are gone."""
        asked = sorted(anew)
        texts = self._virsh.ask([f"dumpxml {run}" for _, run in asked], end).texts
        self._known = {key: self._known[key] for key in there if key in self._known and key not in asked}
        for index, key in enumerate(asked):
            if texts[index].strip():
                self._known[key] = identity(texts[index])


class CpuUse:
    """CPU percent of each run of a domain from its CPU time now and at the sample before."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[float, int]] = {}

    def percent(self, stats: Mapping[tuple[str, str], Counters], now: float) -> dict[tuple[str, str], float]:
        """Percent of a core by (name, run), without what is new: no time before, or one that went back."""
        times = {key: (now, int(each.get("cpu.time", 0))) for key, each in stats.items()}
        before, self._before = self._before, times
        return {key: _percent(before[key], at) for key, at in times.items()
                if key in before and before[key][1] <= at[1]}


def _percent(before: tuple[float, int], now: tuple[float, int]) -> float:
    passed = now[0] - before[0]
    return round((now[1] - before[1]) / 1e7 / passed, 2) if passed > 0 else 0.0


def counters(domstats: str) -> dict[str, dict[str, str]]:
    """`domstats --raw`: counters by domain name."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in domstats.splitlines():
        if line.startswith("Domain: '") and line.endswith("'"):
            current = found.setdefault(line[9:-1], {})
        elif line.startswith("  "):
            name, _, value = line.strip().partition("=")
            current[name] = value
    return found


def domains(listed: str) -> list[Domain]:
    """`list` or `list --all`, without headings."""
    rows = (_ROW.fullmatch(line.rstrip()) for line in listed.splitlines())
    return [Domain(row[1].strip("-"), row[2], STATES[row[3]]) for row in rows if row]


def identity(xml: str) -> Identity | None:
    """Which VM a domain's XML says that it is; None for one that is not ours."""
    try:
        domain = ElementTree.fromstring(xml)
        found = domain.find(f"metadata/{{{NAMESPACE}}}vm")
        return None if found is None else Identity(int(found.attrib["id"]), int(found.attrib["generation"]),
                                                   domain.findtext("uuid") or "")
    except (ElementTree.ParseError, KeyError, ValueError):
        return None


def sample(name: str, who: Identity | None, stats: Counters, cpu: float, state: str = "running") -> Doc:
    """What the core gets of one domain; id -1 and its name for one that is not ours.  STATE: if STATS have none."""
    vm, generation, uuid = who or STRANGER
    if "state.state" in stats:
        state = "suspended" if stats["state.state"] in _PAUSED else "running"
    return {"id": vm, "generation": generation, "uuid": uuid, "deploy_id": name,
            "state": state, "cpu": cpu,
            "memory_kb": int(stats.get("balloon.rss") or stats.get("balloon.current") or 0),
            "netrx": _sum(stats, "net", "rx.bytes"), "nettx": _sum(stats, "net", "tx.bytes"),
            "diskrdbytes": _sum(stats, "block", "rd.bytes"), "diskwrbytes": _sum(stats, "block", "wr.bytes"),
            "diskrdiops": _sum(stats, "block", "rd.reqs"), "diskwriops": _sum(stats, "block", "wr.reqs"),
            "disk_size": disk_sizes(stats)}


def disk_sizes(stats: Counters) -> list[Doc]:
    """MB that each disk's file takes on the host, by DISK_ID."""
    found = []
    for index in range(int(stats.get("block.count", 0))):
        match = _DISK.search(stats.get(f"block.{index}.path") or "")
        if match:
            size = int(stats.get(f"block.{index}.physical") or stats.get(f"block.{index}.allocation") or 0)
            found.append({"id": int(match.group(1)), "size_mb": -(-size // _MB)})
    return found


def _sum(stats: Counters, group: str, counter: str) -> int:
    count = int(stats.get(f"{group}.count", 0))
    return sum(int(stats.get(f"{group}.{index}.{counter}") or 0) for index in range(count))
