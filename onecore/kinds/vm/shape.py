"""The shape of a VM's template: which attributes are vectors, which are given once, as the schema of VM bodies has them.

What they mean is checked where they are used.
"""
from __future__ import annotations

from onecore.errors import NotAllocated
from onecore.wire.template import Tree, Vector

TEMPLATE_NAMES = (
    "AUTOMATIC_DS_REQUIREMENTS", "AUTOMATIC_NIC_REQUIREMENTS", "AUTOMATIC_REQUIREMENTS", "CLONING_TEMPLATE_ID",
    "CONTEXT", "CPU", "CPU_COST", "DISK", "DISK_COST", "EMULATOR", "FEATURES", "HYPERV_OPTIONS", "GRAPHICS", "VIDEO",
    "IMPORTED", "INPUT", "MEMORY", "MEMORY_COST", "MEMORY_MAX", "MEMORY_SLOTS", "MEMORY_RESIZE_MODE", "NIC",
    "NIC_ALIAS", "NIC_DEFAULT", "NUMA_NODE", "OS", "PCI", "RAW", "SPICE_OPTIONS", "SUBMIT_ON_HOLD", "TEMPLATE_ID",
    "TM_MAD_SYSTEM", "TOPOLOGY", "TPM", "MEMORY_ENCRYPTION", "VCPU", "VCPU_MAX", "VMGROUP", "VMID", "VROUTER_ID")
"""What a VM's TEMPLATE holds, in the order of the schema; all else goes to USER_TEMPLATE."""

VECTORS = {"CONTEXT", "DISK", "FEATURES", "HYPERV_OPTIONS", "GRAPHICS", "VIDEO", "INPUT", "NIC", "NIC_ALIAS",
           "NIC_DEFAULT", "NUMA_NODE", "OS", "PCI", "RAW", "SPICE_OPTIONS", "TOPOLOGY", "TPM", "MEMORY_ENCRYPTION",
           "VMGROUP", "CPU_MODEL"}
PLAIN = (set(TEMPLATE_NAMES) | {"NAME"}) - VECTORS
REPEATED = {"DISK", "NIC", "NIC_ALIAS", "PCI"}
SINGLE = (set(TEMPLATE_NAMES) | {"NAME"}) - REPEATED
KEYS = {"VIDEO": ("TYPE", "IOMMU", "ATS", "VRAM", "RESOLUTION"), "TPM": ("MODEL",), "MEMORY_ENCRYPTION": ("TYPE",)}
"""Vectors of which the schema names every key, in its order."""


def check(tree: Tree) -> None:
    """Bring vectors with a fixed order of keys into it; raises NotAllocated that names what is wrong."""
    for name, value in tree:
        if name in VECTORS and not isinstance(value, dict):
            raise NotAllocated(f"{name} must be a vector, {name} = [ … ], not {value[:40]!r}")
        if name in PLAIN and not isinstance(value, str):
            raise NotAllocated(f"{name} must be a single value, not a vector")
    for name in SINGLE:
        if len(found := tree.all(name)) > 1:
            raise NotAllocated(f"{name} may be given once, not {len(found)} times")
    for name, keys in KEYS.items():
        vector = tree.vector(name)
        if vector is not None:
            tree.set(name, _ordered(name, keys, vector))


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
