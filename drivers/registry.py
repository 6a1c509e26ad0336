"""How a driver is found: a module that lists its actions in `ACTIONS`, built in or given by another package.

Another package offers one under the entry point group `onecore.drivers`, named `FAMILY/NAME`.  A module is imported
when it is first asked for, so that a missing library breaks its own driver and no other.
"""
from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from drivers.base import Action, Permanent

GROUP = "onecore.drivers"
FAMILIES = ("vm", "tm", "im")
"""The families that are processes; `net` runs inside `vm`, `ds` inside `tm`, `fence` and `hook` inside `im`."""
DATASTORE_ACTIONS = frozenset({"register", "mkfs", "clone", "remove", "stat", "monitor"})
BUILT_IN = {
    "vm/kvm": "drivers.vm.kvm",
    "vm/dummy": "drivers.dummy.vm",
    "tm/qcow2": "drivers.tm.qcow2",
    "tm/shared": "drivers.tm.shared",
    "tm/ssh": "drivers.tm.ssh",
    "tm/dummy": "drivers.dummy.tm",
    "ds/fs": "drivers.ds.fs",
    "ds/dummy": "drivers.dummy.ds",
    "im/kvm": "drivers.im.kvm",
    "im/dummy": "drivers.dummy.im",
    "net/bridge": "drivers.net.bridge",
    "net/dummy": "drivers.dummy.net",
    "fence/ipmi": "drivers.fencing.ipmi",
    "fence/script": "drivers.fencing.script",
    "fence/lease": "drivers.fencing.lease",
    "hook/script": "drivers.hooks",
    "fence/dummy": "drivers.fencing.dummy",
}


@lru_cache
def find(family: str, name: str) -> dict[str, Action]:
    """The actions of driver NAME in FAMILY (vm, tm, ds, im, net, fence) by name; Permanent when there is none."""
    module = _module(f"{family}/{name}")
    if module is None:
        raise Permanent(f"there is no {family} driver {name!r}; known: {', '.join(known(family)) or 'none'}")
    try:
        actions: dict[str, Action] = import_module(module).ACTIONS
    except ImportError as error:
        raise Permanent(f"the {family} driver {name!r} cannot be loaded: {error}") from error
    return actions


def resolve(process: str, name: str, verb: str) -> Action:
    """The function for action VERB of driver NAME in the process of family PROCESS; Permanent when there is none.

    The `tm` process gets datastore commands too, with the name of the datastore driver, and `im` those to fence a host
    and to run a hook.
    """
    family = process
    if process == "tm" and verb in DATASTORE_ACTIONS:
        family = "ds"
    elif process == "im" and verb in ("fence", "hook"):
        family = verb
    made = find(family, name).get(verb)
    if made is None:
        raise Permanent(f"the {family} driver {name!r} has no action {verb!r}")
    return made


def known(family: str) -> list[str]:
    """The names of all drivers of FAMILY, loadable or not."""
    names = {*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}
    return sorted(name.partition("/")[2] for name in names if name.startswith(family + "/"))


def _module(key: str) -> str | None:
    if key in BUILT_IN:
        return BUILT_IN[key]
    return next((point.value for point in entry_points(group=GROUP) if point.name == key), None)
