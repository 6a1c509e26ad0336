"""How a cloud comes to each place at which an action starts: steps, and the roads that are made of them."""
from __future__ import annotations

from chaos_site import Site, Step
from sim_points import Strike


def act(action: str) -> Step:
    """An action of the VM."""
    return lambda site: site.act(action)


def come(*states: str) -> Step:
    """Until the VM is in one of these states."""
    return lambda site: site.wait(*states)


def fails(action: str) -> Step:
    """A driver's action fails from now on."""
    return lambda site: site.script({"action": action, "fail": "as told"})


def both_fail(site: Site) -> None:
    """A live migration fails before the guest moves, and nobody can tell where it is."""
    site.script({"action": "vm.migrate", "fail": "as told"}, {"action": "vm.migrate.where", "fail": "as told"})


def hangs(action: str) -> Step:
    """A driver's action hangs from now on."""
    return lambda site: site.script({"action": action, "hang": True})


def well(site: Site) -> None:
    """Drivers do what they are told."""
    site.script()


def make(site: Site) -> None:
    """The VM, PENDING."""
    site.make()


def make_held(site: Site) -> None:
    """The VM, in HOLD."""
    site.make(hold=True)


def silence(site: Site) -> None:
    """The first host tells nothing any more."""
    site.silence("node1")


def lose(host: int) -> Step:
    """Nothing is heard of a host until it is in ERROR."""
    def until(site: Site) -> None:
        site.silence(f"node{host + 1}")
        site.sim.until(lambda: site.sim.host_state(site.hosts[host]) == "ERROR", 90, "a host to be lost")
    return until


def speak(site: Site) -> None:
    """Every host does."""
    site.silence()


def slowly(site: Site) -> None:
    """An image is made in some seconds."""
    site.script(delay={"ds.mkfs": 8.0})


def failing_slowly(site: Site) -> None:
    """It is not made, which shows in some seconds."""
    site.script({"action": "ds.mkfs", "fail": "as told"}, delay={"ds.mkfs": 8.0})


def fenceable(site: Site) -> None:
    """The first host has a fence driver."""
    site.call("one.host.update", site.hosts[0], "FENCE_MAD=dummy\n", 1)


def slow_image(site: Site) -> None:
    """The persistent image is one that is being made."""
    text = 'NAME="late"\nTYPE="DATABLOCK"\nSIZE="10"\nPERSISTENT="YES"\n'
    site.own = int(site.call("one.image.allocate", text, 1))


def call(method: str, *arguments: object) -> Step:
    """A method on the VM; ARGUMENTS follow its id, `{image}`, `{spare}`, `{network}` are those of the site."""
    return lambda site: site.call(method, site.vm, *site.filled(arguments))


def unheard(command: str) -> Step:
    """What COMMAND does is done, and nobody is told."""
    return lambda site: site.sim.strike(Strike("step.after", 1, "deaf", command))


def a_moment(site: Site) -> None:
    """A second passes."""
    site.sim.advance(1)


def nothing(site: Site) -> None:
    """Time passes."""


def migrate(host: int, store: str = "", live: bool = False, kind: int = 0) -> Step:
    """one.vm.migrate to a host (0, 1), and to the STORE that the VM is not in: `other`."""
    def ask(site: Site) -> None:
        other = next(each for each in site.stores if each != site.store)
        site.call("one.vm.migrate", site.vm, site.hosts[host], live, False, site.stores[other] if store else -1, kind)
    return ask


def wrote(site: Site) -> None:
    """The guest wrote on all of its disks, as it does when it starts."""
    site.written = 1


def guest(text: str) -> Step:
    """The VM's guest is as TEXT says; empty: it is gone."""
    def change(site: Site) -> None:
        site.sim.advance(2)
        path = site.guest()
        path.parent.mkdir(parents=True, exist_ok=True)
        if text:
            path.write_text(f"{site.sim.vm(site.vm).generation} {text}\n")
            site.sim.nets.add((site.host_name(), site.vm, "0"))
        else:
            path.unlink(missing_ok=True)
    return change


ROADS: dict[str, tuple[Step, ...]] = {"nothing": ()}
"""How a new cloud comes to each starting place; a place is named as the state that its VM is in, and more."""

ROADS["PENDING"] = (make,)
ROADS["HOLD"] = (make_held,)
ROADS["RUNNING"] = (*ROADS["PENDING"], act("deploy"), come("RUNNING"))
ROADS["POWEROFF"] = (*ROADS["RUNNING"], act("poweroff"), come("POWEROFF"))
ROADS["SUSPENDED"] = (*ROADS["RUNNING"], act("suspend"), come("SUSPENDED"))
ROADS["SUSPENDED paused"] = (*ROADS["RUNNING"], guest("suspended"), come("SUSPENDED"))
ROADS["STOPPED"] = (*ROADS["RUNNING"], act("stop"), come("STOPPED"))
ROADS["UNDEPLOYED"] = (*ROADS["RUNNING"], act("undeploy"), come("UNDEPLOYED"))
ROADS["PENDING stopped"] = (*ROADS["STOPPED"], act("resume"))
ROADS["PENDING undeployed"] = (*ROADS["UNDEPLOYED"], act("resume"))
ROADS["HOLD stopped"] = (*ROADS["PENDING stopped"], act("hold"))
ROADS["HOLD undeployed"] = (*ROADS["PENDING undeployed"], act("hold"))
ROADS["UNKNOWN"] = (*ROADS["RUNNING"], silence, come("UNKNOWN"))
ROADS["RUNNING fenceable"] = (*ROADS["RUNNING"], fenceable)
ROADS["CLONING"] = (slowly, slow_image, make)
ROADS["CLONING held"] = (slowly, slow_image, make_held)
ROADS["CLONING failing"] = (failing_slowly, slow_image, make)
ROADS["CLONING_FAILURE"] = (fails("ds.mkfs"), slow_image, make, come("CLONING_FAILURE"), well)
ROADS["CLONING_FAILURE held"] = (fails("ds.mkfs"), slow_image, make_held, come("CLONING_FAILURE"), well)
for _state, _from, _action, _fails in (
        ("PROLOG_FAILURE", "PENDING", "deploy", "tm.prolog"), ("BOOT_FAILURE", "PENDING", "deploy", "vm.deploy"),
        ("EPILOG_FAILURE", "RUNNING", "terminate", "tm.epilog"),
        ("EPILOG_STOP_FAILURE", "RUNNING", "stop", "tm.epilog_stop"),
        ("EPILOG_UNDEPLOY_FAILURE", "RUNNING", "undeploy", "tm.epilog_stop"),
        ("PROLOG_RESUME_FAILURE", "STOPPED", "deploy", "tm.prolog_resume"),
        ("BOOT_STOPPED_FAILURE", "STOPPED", "deploy", "vm.restore"),
        ("PROLOG_UNDEPLOY_FAILURE", "UNDEPLOYED", "deploy", "tm.prolog_resume"),
        ("BOOT_UNDEPLOY_FAILURE", "UNDEPLOYED", "deploy", "vm.deploy")):
    ROADS[_state] = (*ROADS[_from], fails(_fails), act(_action), come(_state), well)
for _state, _from, _kind, _fails in (
        ("PROLOG_MIGRATE_FAILURE", "RUNNING", 0, "tm.move"), ("PROLOG_MIGRATE_FAILURE off", "RUNNING", 1, "tm.move"),
        ("BOOT_MIGRATE_FAILURE", "RUNNING", 0, "vm.restore"), ("BOOT_MIGRATE_FAILURE off", "RUNNING", 2, "vm.deploy"),
        ("PROLOG_MIGRATE_POWEROFF_FAILURE", "POWEROFF", 0, "tm.move"),
        ("PROLOG_MIGRATE_SUSPEND_FAILURE", "SUSPENDED", 0, "tm.move"),
        ("PROLOG_MIGRATE_UNKNOWN_FAILURE", "UNKNOWN", 0, "tm.move")):
    ROADS[_state] = (*ROADS[_from], fails(_fails), migrate(1, kind=_kind), come(_state.split()[0]), well)
ROADS["UNKNOWN moving"] = (*ROADS["RUNNING"], fails("vm.migrate.where"), migrate(1, live=True), come("UNKNOWN"), well)

for _state in ("RUNNING", "POWEROFF"):
    ROADS[f"{_state} disk"] = (*ROADS["RUNNING"], call("one.vm.attach", "DISK=[IMAGE_ID={spare}]"), a_moment,
                               come("RUNNING"), act("poweroff"), come("POWEROFF"), act("resume"), come("RUNNING"),
                               wrote, *(() if _state == "RUNNING" else (act("poweroff"), come("POWEROFF"))))
    ROADS[f"{_state} nic"] = (*ROADS[_state], call("one.vm.attachnic", "NIC=[NETWORK_ID={network}]"), a_moment,
                              come(_state))
ROADS["RUNNING snapshot"] = (*ROADS["RUNNING"], call("one.vm.disksnapshotcreate", 0, "first"), a_moment,
                             come("RUNNING"), call("one.vm.disksnapshotcreate", 0, "second"), a_moment, come("RUNNING"))
ROADS["POWEROFF snapshot"] = (*ROADS["RUNNING snapshot"], act("poweroff"), come("POWEROFF"))
ROADS["SUSPENDED snapshot"] = (*ROADS["RUNNING snapshot"], act("suspend"), come("SUSPENDED"))
ROADS["RUNNING system"] = (*ROADS["RUNNING"], call("one.vm.snapshotcreate", "kept"), a_moment, come("RUNNING"))
ROADS["POWEROFF system"] = (*ROADS["RUNNING system"], act("poweroff"), come("POWEROFF"))
ROADS["RUNNING scheduled"] = (*ROADS["RUNNING"], lambda site: site.call(
    "one.vm.schedadd", site.vm, f"SCHED_ACTION=[ACTION=suspend,TIME={int(site.sim.clock.time()) + 20}]"))
