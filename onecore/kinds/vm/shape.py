"""The shape of a VM's template: which attributes are vectors, which are given once, as the schema of VMs has them.

What they mean is checked where they are used.
"""
from __future__ import annotations

from onecore.errors import NotAllocated
from onecore.kinds.kind import inner_xml
from onecore.wire.template import Tree, Value, Vector

TEMPLATE_NAMES = (
    "AUTOMATIC_DS_REQUIREMENTS", "AUTOMATIC_NIC_REQUIREMENTS", "AUTOMATIC_REQUIREMENTS", "CLONING_TEMPLATE_ID",
    "CONTEXT", "CPU", "CPU_COST", "DISK", "DISK_COST", "EMULATOR", "FEATURES", "HYPERV_OPTIONS", "GRAPHICS", "VIDEO",
    "IMPORTED", "INPUT", "MEMORY", "MEMORY_COST", "MEMORY_MAX", "MEMORY_SLOTS", "MEMORY_RESIZE_MODE", "NIC",
    "NIC_ALIAS", "NIC_DEFAULT", "NUMA_NODE", "OS", "PCI", "QEMU_GA_EXEC", "RAW", "SNAPSHOT", "SPICE_OPTIONS",
    "SUBMIT_ON_HOLD", "TEMPLATE_ID", "TM_MAD_SYSTEM", "TOPOLOGY", "TPM", "MEMORY_ENCRYPTION", "VCPU", "VCPU_MAX",
    "VMGROUP", "VMID", "VROUTER_ID")
"""What a VM's TEMPLATE holds, in the order of the schema; all else goes to USER_TEMPLATE."""

OF_USER = ("CPU_MODEL", "SERIAL")
"""Vectors that say how a VM runs, which the schema leaves to USER_TEMPLATE: changed by updateconf, not by update."""
VECTORS = {"CONTEXT", "DISK", "FEATURES", "HYPERV_OPTIONS", "GRAPHICS", "VIDEO", "INPUT", "NIC", "NIC_ALIAS",
           "NIC_DEFAULT", "NUMA_NODE", "OS", "PCI", "RAW", "SPICE_OPTIONS", "TOPOLOGY", "TPM", "MEMORY_ENCRYPTION",
           "VMGROUP", "CPU_MODEL", "SCHED_ACTION"}
OURS = {"QEMU_GA_EXEC", "SNAPSHOT"}
"""What the core alone writes."""
PLAIN = (set(TEMPLATE_NAMES) | {"NAME"}) - VECTORS - OURS
NOT_YET = ("PCI",)
"""What would change where or how a VM runs, and is not done yet: better refused than forgotten."""
def is_read(name: str) -> bool:
    """Whether oned or the match-maker itself reads an attribute, ATTR or ATTR/KEY: all but what goes into guests."""
    attribute, _, key = name.partition("/")
    if attribute == "CONTEXT":
        return key in ("", "NETWORK", "TARGET", "FILES", "FILES_DS")
    return (attribute in TEMPLATE_NAMES or attribute.startswith(("SCHED_", "USER_"))) and name != "GRAPHICS/PASSWD"


REPEATED = {"DISK", "NIC", "NIC_ALIAS", "PCI", "SNAPSHOT"}
SINGLE = (set(TEMPLATE_NAMES) | {"NAME"}) - REPEATED
KEYS = {"VIDEO": ("TYPE", "IOMMU", "ATS", "VRAM", "RESOLUTION"), "TPM": ("MODEL",), "MEMORY_ENCRYPTION": ("TYPE",)}
"""Vectors of which the schema names every key, in its order."""


def check(tree: Tree) -> None:
    """Bring vectors with a fixed order of keys into it; raises NotAllocated that names what is wrong."""
    seen: set[str] = set()
    for place, (name, value) in enumerate(tree.pairs):
        if name in VECTORS and not isinstance(value, dict):
            if value.strip():
                raise NotAllocated(f"{name} must be a vector, {name} = [ … ], not {value[:40]!r}")
            tree.pairs[place] = (name, {})
        elif name in PLAIN and not isinstance(value, str):
            raise NotAllocated(f"{name} must be a single value, not a vector")
        if name in SINGLE and name in seen:
            raise NotAllocated(f"{name} may be given once")
        seen.add(name)
    for name in NOT_YET:
        if name in seen:
            raise NotAllocated(f"{name} is not supported yet")
    for name in KEYS:
        if name in seen:
            tree.set(name, _ordered(name, KEYS[name], tree.vector(name) or {}))


def fragment(tree: Tree) -> bytes:
    """What a VM's TEMPLATE has of TREE, in the order of the schema, as its record keeps it."""
    by_name: dict[str, list[Value]] = {}
    for name, value in tree:
        by_name.setdefault(name, []).append(value)
    return inner_xml(Tree((name, value) for name in TEMPLATE_NAMES for value in by_name.get(name, ())))


def _ordered(name: str, keys: tuple[str, ...], vector: Vector) -> Vector:
    unknown = [key for key in vector if key not in keys]
    if unknown:
        raise NotAllocated(f"{name} may hold {', '.join(keys)}, not {unknown[0]}")
    kept = {key: vector[key] for key in keys if vector.get(key)}
    if name != "VIDEO" and not kept:
        raise NotAllocated(f"{name} must hold {keys[0]}")
    if kept.get("VRAM", "0").strip("0123456789"):
        raise NotAllocated(f"{name} VRAM must be a whole number of KB, not {kept['VRAM']!r}")
    return kept
