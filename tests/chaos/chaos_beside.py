"""A second VM, on the first one's host and in its network: what it is asked for at the same time, where that leads.

It has the same image, and disks and an address of its own.  Whatever is done to the first VM, and whatever strikes,
must not touch it.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from chaos_roads import ROADS, act, migrate, nothing
from chaos_site import Site, Step


@dataclass(frozen=True)
class Beside:
    """What it is asked for, where it stands, and where that leads when nothing else happens."""

    start: str
    ask: Step
    goal: str
    again: frozenset[str] = frozenset()
    """Where another try may lead besides, as the first one was done in part."""
    done: Step = lambda site: True
    """Whether it shows that it was done, where its state does not."""


def _moved(site: Site) -> bool:
    return bool(site.sim.vm(site.vm).hid == site.hosts[1])


def _stored(site: Site) -> bool:
    return bool(site.sim.vm(site.vm).ds_id != site.stores[site.store])


BESIDE: Mapping[str, Beside] = {
    "rests": Beside("RUNNING", nothing, "RUNNING"),
    "starts": Beside("PENDING", act("deploy"), "RUNNING"),
    "ends": Beside("RUNNING", act("terminate"), "DONE"),
    "powers-off": Beside("RUNNING", act("poweroff"), "POWEROFF"),
    "stops": Beside("RUNNING", act("stop"), "STOPPED"),
    "undeploys": Beside("RUNNING", act("undeploy"), "UNDEPLOYED"),
    "goes-on": Beside("STOPPED", act("deploy"), "RUNNING"),
    "resumes": Beside("SUSPENDED", act("resume"), "RUNNING"),
    "moves-live": Beside("RUNNING", migrate(1, live=True), "RUNNING", frozenset({"POWEROFF"}), _moved),
    "moves-store": Beside("RUNNING", migrate(0, "other", live=True), "RUNNING", frozenset({"POWEROFF"}), _stored),
    "moves-saved": Beside("RUNNING", migrate(1), "RUNNING", frozenset({"SUSPENDED", "POWEROFF"}), _moved),
    "moves-off": Beside("POWEROFF", migrate(1), "POWEROFF", done=_moved),
}
"""Its rows by their names."""


def beside(name: str, start: str) -> tuple[Step, ...]:
    """The step that makes a second VM where NAME begins, before the first comes to START; none for no name."""
    def make(site: Site) -> None:
        own = site.sim.add_image("theirs", persistent=True)
        image = site.image if ROADS[start] else site.sim.add_image("more")  # nobody deletes what it has
        site.beside = replace(site, own=own, image=image)
        for step in ROADS[BESIDE[name].start]:
            step(site.beside)
    return (make, *ROADS[start]) if name else ROADS[start]


def chosen(names: list[str], action: str, store: str, seed: int) -> str:
    """One of NAMES as the dice say; another one with another seed."""
    return Random(f"{seed} {action} {store} beside").choice(names) if names else ""
