"""Virtual CPUs: how many, their share of the host's, their model and features."""
from __future__ import annotations

from collections.abc import Iterable

from drivers.vm.domain.element import Element, Item, Part, Property, the_vm
from drivers.vm.domain.values import attr, const, number, section

_LEAST, _MOST = 2, 262144
_MOST_V2 = 10000
_HOST_MODELS = frozenset({"host-passthrough", "host-model", "maximum"})


def ceiling(part: Part) -> int:
    """VCPU_MAX, or the number of VCPUs when it is not above it."""
    return max(number(part.vm.get("attrs", {}), "VCPU_MAX") or 0, int(part.vm["vcpu"]))


def shares(part: Part) -> int | None:
    """The VM's share of the host's CPUs, in the host's units; None where there are none."""
    unit = part.facts.cpu_shares
    most = _MOST if unit >= 1024 else _MOST_V2
    return min(max(round(unit * float(part.vm["cpu"])), _LEAST), most) if unit else None


def _mode(part: Part) -> str:
    """`custom` for a named model; a model taken from the host needs KVM, emulation gives the most it can instead."""
    model = str(part.item.get("MODEL") or "").strip()
    if model not in _HOST_MODELS:
        return "custom"
    return model if part.facts.hypervisor == "kvm" else "maximum"


def _model(part: Part) -> Iterable[Item]:
    found = section(part, "CPU_MODEL")
    return [found] if found.get("MODEL") else []


def _named(value: str) -> Property:
    return Property(value, lambda part: part.item["MODEL"].strip() if _mode(part) == "custom" else None)


def _topology(name: str) -> Property:
    return Property(f"topology/@{name.lower()}", lambda part: number(part.item, name, 1) or 1)


def _features(part: Part) -> Iterable[Item]:
    given = str(section(part, "CPU_MODEL").get("FEATURES") or "").replace(",", " ").split()
    return [{"NAME": name} for name in given] if list(_model(part)) else []


ELEMENTS = (
    Element("vcpu", the_vm, (
        Property("@current", lambda part: int(part.vm["vcpu"]) if ceiling(part) > int(part.vm["vcpu"]) else None),
        Property("text()", ceiling)), merge=True),
    Element("cputune", the_vm, (Property("shares", shares),), merge=True),
    Element("cpu", _model, (
        Property("@mode", _mode),
        Property("@match", lambda part: "exact" if _mode(part) == "custom" else None),
        Property("model/@fallback", lambda part: "allow" if _mode(part) == "custom" else None),
        _named("model")), merge=True),
    Element("cpu/feature", _features, (
        Property("@policy", const("require")),
        Property("@name", attr("NAME")))),
    Element("cpu", lambda part: [t] if (t := section(part, "TOPOLOGY")).get("CORES") else [], (
        _topology("SOCKETS"), _topology("CORES"), _topology("THREADS")), merge=True),
)
