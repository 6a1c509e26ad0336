"""Every event that a user, the match-maker, the clock or a host can cause, as a row: from where, what, and where to.

Adding an action is adding a row.  test_chaos_tables.py compares the rows with the state table and the API table.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chaos_site import HOSTS, STORES, Site, Step
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


def hangs(action: str) -> Step:
    """A driver's action hangs from now on."""
    return lambda site: site.script({"action": action, "hang": True})


def _well(site: Site) -> None:
    """Drivers do what they are told."""
    site.script()


def _make(site: Site) -> None:
    site.make()


def _make_held(site: Site) -> None:
    site.make(hold=True)


def _silence(site: Site) -> None:
    """The first host tells nothing any more."""
    site.silence("node1")


def _speak(site: Site) -> None:
    """Every host does."""
    site.silence()


def _slowly(site: Site) -> None:
    """An image is made in some seconds."""
    site.script(delay={"ds.mkfs": 8.0})


def _failing_slowly(site: Site) -> None:
    site.script({"action": "ds.mkfs", "fail": "as told"}, delay={"ds.mkfs": 8.0})


def _fenceable(site: Site) -> None:
    site.call("one.host.update", site.hosts[0], "FENCE_MAD=dummy\n", 1)


def _slow_image(site: Site) -> None:
    """The persistent image is one that is being made."""
    text = 'NAME="late"\nTYPE="DATABLOCK"\nSIZE="10"\nPERSISTENT="YES"\n'
    site.own = int(site.call("one.image.allocate", text, 1))


def _guest(text: str) -> Step:
    """The VM's guest is as TEXT says; empty: it is gone."""
    def change(site: Site) -> None:
        site.sim.advance(2)
        path = site.guest()
        path.parent.mkdir(parents=True, exist_ok=True)
        if text:
            path.write_text(f"{site.sim.vm(site.vm).generation} {text}\n")
            site.sim.nets.add((HOSTS[0], site.vm))
        else:
            path.unlink(missing_ok=True)
    return change


ROADS: dict[str, tuple[Step, ...]] = {"nothing": ()}
"""How a new cloud comes to each starting place; a place is named as the state that its VM is in, and more."""

ROADS["PENDING"] = (_make,)
ROADS["HOLD"] = (_make_held,)
ROADS["RUNNING"] = (*ROADS["PENDING"], act("deploy"), come("RUNNING"))
ROADS["POWEROFF"] = (*ROADS["RUNNING"], act("poweroff"), come("POWEROFF"))
ROADS["SUSPENDED"] = (*ROADS["RUNNING"], act("suspend"), come("SUSPENDED"))
ROADS["SUSPENDED paused"] = (*ROADS["RUNNING"], _guest("suspended"), come("SUSPENDED"))
ROADS["STOPPED"] = (*ROADS["RUNNING"], act("stop"), come("STOPPED"))
ROADS["UNDEPLOYED"] = (*ROADS["RUNNING"], act("undeploy"), come("UNDEPLOYED"))
ROADS["PENDING stopped"] = (*ROADS["STOPPED"], act("resume"))
ROADS["PENDING undeployed"] = (*ROADS["UNDEPLOYED"], act("resume"))
ROADS["HOLD stopped"] = (*ROADS["PENDING stopped"], act("hold"))
ROADS["HOLD undeployed"] = (*ROADS["PENDING undeployed"], act("hold"))
ROADS["UNKNOWN"] = (*ROADS["RUNNING"], _silence, come("UNKNOWN"))
ROADS["RUNNING fenceable"] = (*ROADS["RUNNING"], _fenceable)
ROADS["CLONING"] = (_slowly, _slow_image, _make)
ROADS["CLONING held"] = (_slowly, _slow_image, _make_held)
ROADS["CLONING failing"] = (_failing_slowly, _slow_image, _make)
ROADS["CLONING_FAILURE"] = (fails("ds.mkfs"), _slow_image, _make, come("CLONING_FAILURE"), _well)
ROADS["CLONING_FAILURE held"] = (fails("ds.mkfs"), _slow_image, _make_held, come("CLONING_FAILURE"), _well)
for _state, _from, _action, _fails in (
        ("PROLOG_FAILURE", "PENDING", "deploy", "tm.prolog"), ("BOOT_FAILURE", "PENDING", "deploy", "vm.deploy"),
        ("EPILOG_FAILURE", "RUNNING", "terminate", "tm.epilog"),
        ("EPILOG_STOP_FAILURE", "RUNNING", "stop", "tm.epilog_stop"),
        ("EPILOG_UNDEPLOY_FAILURE", "RUNNING", "undeploy", "tm.epilog_stop"),
        ("PROLOG_RESUME_FAILURE", "STOPPED", "deploy", "tm.prolog_resume"),
        ("BOOT_STOPPED_FAILURE", "STOPPED", "deploy", "vm.restore"),
        ("PROLOG_UNDEPLOY_FAILURE", "UNDEPLOYED", "deploy", "tm.prolog_resume"),
        ("BOOT_UNDEPLOY_FAILURE", "UNDEPLOYED", "deploy", "vm.deploy")):
    ROADS[_state] = (*ROADS[_from], fails(_fails), act(_action), come(_state), _well)


@dataclass(frozen=True)
class Action:
    """A row: what is done at a starting place, and where that leads when nothing else happens.

    `first` is done before anything is struck; `ask` is asked again when nobody heard it.  `patience`: seconds that it
    takes by itself.  `then`: what somebody does afterwards about what it leaves on purpose.
    """

    start: str
    name: str
    ask: Step
    goals: frozenset[str]
    first: tuple[Step, ...] = ()
    then: tuple[Step, ...] = ()
    patience: float = 0.0
    stores: tuple[str, ...] = STORES
    subject: str = ""
    """The name of the image that the goals are about; empty: the VM."""
    overtaken: frozenset[str] = frozenset()
    """Where it may be instead when what it is about ended by itself before it was heard."""
    leaves: bool = False
    """It leaves things on hosts, on purpose; `then` is what becomes of them."""
    forgets: bool = False
    """What was written on disks is given up."""
    ignored: bool = False
    """It is accepted, and changes nothing that is stored."""
    lies: bool = False
    """An administrator says what is not so: no other try mends what comes of it."""

    @property
    def key(self) -> str:
        """How the command line names it."""
        return f"{self.start}/{self.name}".replace(" ", "-")


def user(start: str, action: str, goals: str, then: tuple[Step, ...] = (), **more: Any) -> Action:
    """An action of one.vm.action, a deploy or a recover."""
    return Action(start, action, act(action), frozenset(goals.split()), then=then, leaves=bool(then),
                  forgets=_forgets(start, action), **more)


def _forgets(start: str, action: str) -> bool:
    """Whether an action gives up what was written on disks."""
    return action in ("recover-delete", "recover-recreate", "recover-deletedb") or (
        start.endswith("_FAILURE") and action.startswith("terminate"))


def _reconcile(site: Site) -> None:
    """What is left on the hosts and of no use goes; on the front-end, of which nobody tells, it is removed by hand."""
    site.sim.advance(30)
    for host in site.hosts:
        site.call("onecore.host.reconcile", host, False)
    for path in (site.sim.home / "dummy").glob(f"%front/disks/*-{site.vm}"):
        path.unlink()


_WAITING = ("PENDING", "HOLD", "PENDING stopped", "PENDING undeployed", "HOLD stopped", "HOLD undeployed")
_RESTING = ("RUNNING", "POWEROFF", "SUSPENDED", "SUSPENDED paused", "STOPPED", "UNDEPLOYED")
_MENDED = {"PROLOG_FAILURE": "RUNNING", "BOOT_FAILURE": "RUNNING", "EPILOG_FAILURE": "DONE",
           "EPILOG_STOP_FAILURE": "STOPPED", "EPILOG_UNDEPLOY_FAILURE": "UNDEPLOYED",
           "PROLOG_RESUME_FAILURE": "RUNNING", "BOOT_STOPPED_FAILURE": "RUNNING",
           "PROLOG_UNDEPLOY_FAILURE": "RUNNING", "BOOT_UNDEPLOY_FAILURE": "RUNNING"}
"""Where another try of what failed leads."""


def _users() -> Iterator[Action]:
    """What users, administrators and the match-maker ask for where a VM rests."""
    for start in (*_WAITING, *_RESTING, "CLONING", "CLONING_FAILURE"):
        for end in ("terminate", "terminate-hard", "recover-delete"):
            yield user(start, end, "DONE")
        yield user(start, "recover-deletedb", "DONE", then=(_reconcile,))
    for start in (*_WAITING, "STOPPED", "UNDEPLOYED"):
        yield user(start, "deploy", "RUNNING")
    for start in (*_WAITING, *_RESTING, *_MENDED):
        yield user(start, "recover-recreate", "PENDING")
    for start in ("PENDING", "PENDING stopped", "PENDING undeployed"):
        yield user(start, "hold", "HOLD")
    for start in ("HOLD", "HOLD stopped", "HOLD undeployed"):
        yield user(start, "release", "PENDING")
    for start, goal in (("STOPPED", "PENDING"), ("UNDEPLOYED", "PENDING"), ("SUSPENDED", "RUNNING"),
                        ("SUSPENDED paused", "RUNNING"), ("POWEROFF", "RUNNING"), ("UNKNOWN", "RUNNING UNKNOWN")):
        yield user(start, "resume", goal)
    for start in ("RUNNING", "UNKNOWN", "POWEROFF"):
        for mark in ("resched", "unresched"):
            yield user(start, mark, start)
    for action in ("reboot", "reboot-hard"):
        yield user("RUNNING", action, "RUNNING")
    yield user("RUNNING", "suspend", "SUSPENDED")
    for start in ("RUNNING", "SUSPENDED", "SUSPENDED paused"):
        yield user(start, "stop", "STOPPED")
    for start in ("RUNNING", "UNKNOWN"):
        for action in ("poweroff", "poweroff-hard"):
            yield user(start, action, "POWEROFF")
    for start in ("RUNNING", "UNKNOWN", "POWEROFF"):
        for action in ("undeploy", "undeploy-hard"):
            yield user(start, action, "UNDEPLOYED")
    for action, goal in (("terminate", "DONE"), ("terminate-hard", "DONE"), ("recover-delete", "DONE"),
                         ("recover-recreate", "PENDING"), ("recover-success", "RUNNING UNKNOWN"),
                         ("recover-failure", "POWEROFF RUNNING")):
        yield user("UNKNOWN", action, goal)
    yield user("UNKNOWN", "recover-deletedb", "DONE", then=(_speak, _reconcile))


def _failed() -> Iterator[Action]:
    """What is asked for where a VM failed."""
    for start, goal in _MENDED.items():
        yield user(start, "recover-retry", goal)
        yield user(start, "recover-failure", start, ignored=True)
        yield user(start, "recover-success", f"{goal} {start} POWEROFF", lies=True)
        for end in ("terminate", "terminate-hard"):
            yield user(start, end, "DONE", stores=STORES if start in ("PROLOG_FAILURE", "BOOT_FAILURE") else STORES[:1])
        yield user(start, "recover-delete", "DONE")
        yield user(start, "recover-deletedb", "DONE", then=(_reconcile,))
    for operation in ("recover-success", "recover-failure"):
        yield user("CLONING_FAILURE", operation, "CLONING_FAILURE", ignored=True)
    yield user("CLONING", "recover-recreate", "PENDING", ignored=True)
    yield user("CLONING_FAILURE", "recover-recreate", "CLONING_FAILURE", ignored=True)


WAYS: dict[str, tuple[str, str, str, str, str]] = {
    # state               from          action            what it waits for   goal          on failure
    "PROLOG":            ("PENDING",    "deploy",         "tm.prolog",        "RUNNING",    "PROLOG_FAILURE"),
    "BOOT":              ("PENDING",    "deploy",         "vm.deploy",        "RUNNING",    "BOOT_FAILURE"),
    "PROLOG_RESUME":     ("STOPPED",    "deploy",         "tm.prolog_resume", "RUNNING",    "PROLOG_RESUME_FAILURE"),
    "BOOT_STOPPED":      ("STOPPED",    "deploy",         "vm.restore",       "RUNNING",    "BOOT_STOPPED_FAILURE"),
    "PROLOG_UNDEPLOY":   ("UNDEPLOYED", "deploy",         "tm.prolog_resume", "RUNNING",    "PROLOG_UNDEPLOY_FAILURE"),
    "BOOT_UNDEPLOY":     ("UNDEPLOYED", "deploy",         "vm.deploy",        "RUNNING",    "BOOT_UNDEPLOY_FAILURE"),
    "SAVE_SUSPEND":      ("RUNNING",    "suspend",        "vm.save",          "SUSPENDED",  "RUNNING"),
    "BOOT_SUSPENDED":    ("SUSPENDED",  "resume",         "vm.restore",       "RUNNING",    "SUSPENDED"),
    "SAVE_STOP":         ("RUNNING",    "stop",           "vm.save",          "STOPPED",    "RUNNING"),
    "EPILOG_STOP":       ("RUNNING",    "stop",           "tm.epilog_stop",   "STOPPED",    "EPILOG_STOP_FAILURE"),
    "SHUTDOWN_POWEROFF": ("RUNNING",    "poweroff",       "vm.shutdown",      "POWEROFF",   "RUNNING"),
    "BOOT_POWEROFF":     ("POWEROFF",   "resume",         "vm.deploy",        "RUNNING",    "POWEROFF"),
    "BOOT_UNKNOWN":      ("UNKNOWN",    "resume",         "vm.deploy",        "RUNNING UNKNOWN", "UNKNOWN RUNNING"),
    "SHUTDOWN_UNDEPLOY": ("RUNNING",    "undeploy",       "vm.shutdown",      "UNDEPLOYED", "RUNNING"),
    "EPILOG_UNDEPLOY":   ("RUNNING",    "undeploy",       "tm.epilog_stop",   "UNDEPLOYED", "EPILOG_UNDEPLOY_FAILURE"),
    "SHUTDOWN":          ("RUNNING",    "terminate",      "vm.shutdown",      "DONE",       "RUNNING"),
    "EPILOG":            ("RUNNING",    "terminate",      "tm.epilog",        "DONE",       "EPILOG_FAILURE"),
    "CLEANUP_RESUBMIT":  ("RUNNING",    "recover-recreate", "vm.cleanup",     "PENDING",    "PENDING"),
    "CLEANUP_DELETE":    ("RUNNING",    "recover-delete", "vm.cleanup",       "DONE",       "DONE"),
}
"""How a VM comes to each state in which something is under way."""
_HARDER = {"SHUTDOWN": "terminate-hard", "SHUTDOWN_POWEROFF": "poweroff-hard", "SHUTDOWN_UNDEPLOY": "undeploy-hard"}


def _unheard(command: str) -> Step:
    """What COMMAND does is done, and nobody is told."""
    return lambda site: site.sim.strike(Strike("step.after", 1, "deaf", command))


def _under_way() -> Iterator[Action]:
    """What is asked for while something is under way."""
    for state, (start, action, waits, goal, failure) in WAYS.items():
        cleans, ends = state.startswith("CLEANUP"), frozenset(f"{goal} {failure}".split())
        here = (hangs(waits), act(action), come(state), _a_moment, _well)
        done = (_unheard("tm.delete" if cleans else waits), act(action), come(state), _a_moment)

        def row(operation: str, goals: str, first: tuple[Step, ...] = here, then: tuple[Step, ...] = (),
                start: str = start, state: str = state, cleans: bool = cleans,
                ends: frozenset[str] = ends, ignored: bool = False) -> Action:
            return Action(start, f"{state}/{operation}", act(operation), frozenset(goals.split()), first, then,
                          ignored=ignored, overtaken=ends, leaves=bool(then), forgets=cleans or _forgets("", operation))
        yield row("recover-retry", goal)
        yield row("recover-failure", goal if cleans else failure, ignored=cleans)
        yield row("recover-success", goal, done)
        yield row("recover-deletedb", "DONE", here, (_speak, _reconcile))
        yield row("recover-delete", "DONE")
        if not cleans:
            yield row("recover-recreate", "PENDING")
        if state in _HARDER:
            yield row(_HARDER[state], goal)


# -- what nobody asks for

def _by_themselves() -> Iterator[Action]:
    """What hosts and guests do by themselves."""
    for word, goal in (("", "POWEROFF"), ("poweroff", "POWEROFF"), ("crashed", "POWEROFF"),
                       ("suspended", "SUSPENDED")):
        yield Action("RUNNING", f"guest-{word or 'gone'}", _guest(word), frozenset({goal}))
        yield Action("UNKNOWN", f"guest-{word or 'gone'}", _guest(word), frozenset({goal}), (_speak,), patience=30)
    yield Action("SUSPENDED paused", "guest-gone", _guest(""), frozenset({"POWEROFF"}), patience=30)
    for start in ("POWEROFF", "SUSPENDED", "SUSPENDED paused", "BOOT_FAILURE", "BOOT_STOPPED_FAILURE",
                  "BOOT_UNDEPLOY_FAILURE"):
        yield Action(start, "guest-running", _guest("running"), frozenset({"RUNNING"}), patience=30)
    yield Action("RUNNING", "host-silent", _silent_for_a_while, frozenset({"RUNNING"}), patience=60)
    yield Action("UNKNOWN", "host-speaks", _speak, frozenset({"RUNNING"}), patience=30)
    yield Action("RUNNING fenceable", "host-silent", _silence, frozenset({"PENDING"}), patience=120,
                 stores=("shared",), then=(_speak,))
    yield Action("CLONING", "images-ready", _nothing, frozenset({"PENDING"}))
    yield Action("CLONING held", "images-ready", _nothing, frozenset({"HOLD"}))
    yield Action("CLONING failing", "images-fail", _nothing, frozenset({"CLONING_FAILURE"}))
    for start, goal in (("CLONING_FAILURE", "PENDING"), ("CLONING_FAILURE held", "HOLD")):
        yield Action(start, "image-enabled", lambda site: site.call("one.image.enable", site.own, True),
                     frozenset({goal}))
    for status, goal in ((1, "RUNNING"), (2, "UNKNOWN")):
        yield Action("RUNNING", f"host-status-{status}",
                     lambda site, status=status: site.call("one.host.status", site.hosts[0], status),
                     frozenset({goal}),
                     then=(lambda site: site.call("one.host.status", site.hosts[0], 0), come("RUNNING")))


def _a_moment(site: Site) -> None:
    site.sim.advance(1)


def _nothing(site: Site) -> None:
    """Time passes."""


def _silent_for_a_while(site: Site) -> None:
    _silence(site)
    site.wait("UNKNOWN")
    _speak(site)


# -- images

def _image(name: str, method: str, *arguments: object) -> Step:
    return lambda site: site.call(method, *(site.image if a == "{image}" else a for a in arguments))


def _images() -> Iterator[Action]:
    text = 'NAME="new"\nTYPE="DATABLOCK"\nSIZE="10"\n'
    yield Action("nothing", "image-make", _image("new", "one.image.allocate", text, 1), frozenset({"READY"}),
                 subject="new")
    yield Action("nothing", "image-register", _image("new", "one.image.allocate", text + 'PATH="/some/file"\n', 1),
                 frozenset({"READY"}), subject="new")
    yield Action("nothing", "image-clone", _image("copy", "one.image.clone", "{image}", "copy"), frozenset({"READY"}),
                 subject="copy")
    yield Action("nothing", "image-delete", _image("disk", "one.image.delete", "{image}"), frozenset({"gone"}),
                 subject="disk")


ACTIONS: dict[str, Action] = {action.key: action for family in (_users, _failed, _under_way, _by_themselves, _images)
                              for action in family()}
"""Every row by its key."""
