"""`onevm wait`: until VMs reach a state, told by the change log, or by asking again where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cli.cells import value
from cli.command import command, ids_argument
from cli.errors import FAILED, INTERNAL, UNKNOWN_METHOD, CliError
from cli.ids import ids_of
from cli.kind import Kind
from cli.session import Session
from cli.spans import SPANS, seconds
from cli.task import ops
from cli.vm.body import state_pair
from cli.vm.ended import ended
from onecore.wire import states

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

POLL = 1.0
"""Seconds between questions when the server keeps no change log."""
LONG = 30
"""Seconds that one long poll waits at most."""


def wait(kind: Kind) -> click.Command:
    """The command `wait`."""
    return command(
        kind,
        "wait",
        run,
        ids_argument(kind),
        click.Option(
            ["--for", "wanted"],
            metavar="STATES",
            help="States, comma separated: running, runn, poweroff, done, ...  Without it: the operation under way.",
        ),
        click.Option(["--timeout"], default="300", metavar="TIME", help=f"{SPANS}."),
        examples=["wait web --for running", "disk-attach web -i data && onevm wait web", "wait 3..5 --for poff,done"],
    )


def run(
    session: Session,
    kind: Kind,
    ids: str,
    wanted: str | None,
    timeout: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until VMs reach one of the states, or until the operation under way of each has ended.

    Fails at once when a VM reaches a failure state or is gone, unless that was asked for, or when its operation
    failed; and when the time is over.  A VM that ended within the last hour still goes by its name, without --for or
    for DONE.
    """
    ends = clock() + seconds(timeout)
    if wanted is None:
        oids = ids_of(session, kind, ids, partial(ended, session))
        return operations(session, oids, timeout, lambda: ends - clock())
    asked, code = words(wanted), 0
    past = partial(ended, session) if matches((states.VmState.DONE, 0), asked) else None
    waiting = dict.fromkeys(ids_of(session, kind, ids, past), "")
    for oid, pair in _changes(session, waiting, lambda: ends - clock(), sleep):
        waiting[oid] = states.vm_name(*pair)
        if matches(pair, asked):
            session.told(f"VM {oid}: {waiting.pop(oid)}")
        elif hopeless(pair):
            session.fail(f"VM {oid}: {waiting.pop(oid)}, it will not reach {wanted}")
            code = FAILED
        if not waiting:
            return code
    for oid, name in waiting.items():
        op = ops.of_vm(session, oid)
        how = f" ({op['what']}: {ops.progress(op)}; operation {op['id']})" if op else ""
        session.fail(f"VM {oid}: not {wanted} within {timeout}, it is {name}{how}")
    return FAILED


def operations(session: Session, oids: Sequence[int], timeout: str, left: Callable[[], float]) -> int:
    """Wait until what is under way now for each of the VMs has ended; the exit code."""
    from cli.task.commands import until

    begun = {op["oid"]: int(op["id"]) for op in ops.listed(session) if op.get("kind") == "vm"}
    code = 0
    for oid in oids:
        if oid not in begun:
            code = _at_rest(session, oid) or code
            continue
        known = until(session, begun[oid], left)
        if ops.ended(known):
            code = ops.result(session, known) or code
        else:
            session.fail(f"VM {oid}: {known['what']} not ended within {timeout}, {ops.progress(known)}")
            code = FAILED
    return code


def _at_rest(session: Session, oid: int) -> int:
    """The exit code for a VM with nothing under way: what was begun a moment ago may have failed already."""
    from onecore.wire import xmlbody

    error = value(xmlbody.read(session.text("one.vm.info", oid)), "USER_TEMPLATE/ERROR")
    if error:
        session.fail(f"VM {oid}: nothing is under way, and what was last failed: {error}")
        return FAILED
    session.told(f"VM {oid}: nothing is under way")
    return 0


def words(text: str) -> frozenset[str]:
    """The state words of TEXT, in upper case; raises CliError for one that is no state."""
    asked = frozenset(w.strip().upper().replace("-", "_") for w in text.split(",") if w.strip())
    known = {s.name for s in states.VmState} | {s.name for s in states.Lcm}
    known |= {w.upper() for w in states.VM_SHORT.values()} | {states.vm_short(3, lcm).upper() for lcm in states.Lcm}
    wrong = sorted(asked - known)
    if wrong or not asked:
        from difflib import get_close_matches

        close = get_close_matches(wrong[0], known, n=1) if wrong else []
        raise CliError(
            f"no VM state {', '.join(wrong).lower()}" + (f"; did you mean {close[0].lower()}?" if close else "")
        )
    return asked


def matches(pair: tuple[int, int], asked: Iterable[str]) -> bool:
    """Whether (STATE, LCM_STATE) goes by one of the words."""
    return not {states.vm_name(*pair), states.VmState(pair[0]).name, states.vm_short(*pair).upper()}.isdisjoint(asked)


def hopeless(pair: tuple[int, int]) -> bool:
    """Whether nothing leads out of it by itself."""
    return pair[0] == states.VmState.DONE or states.vm_name(*pair).endswith("_FAILURE")


def _changes(
    session: Session, waiting: dict[int, str], left: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """(id, state pair) of every VM in WAITING now, and then as they change, until no time is LEFT."""
    last = _present(session)
    while True:
        for oid in list(waiting):
            yield oid, _read(session, oid)
        reset = False
        while not reset:
            if left() <= 0:
                return
            if last is None:
                sleep(min(POLL, max(0.0, left())))
                break
            log = _events(session, last, min(LONG, max(1, int(left()))))
            last, reset = int(log["last"]), bool(log["reset"])
            for event in log["events"]:
                if event["kind"] == "vm" and event["id"] in waiting and event["what"] != "update":
                    yield int(event["id"]), _pair(str(event.get("new"))) or _read(session, int(event["id"]))


def _present(session: Session) -> int | None:
    """Where the change log stands; None when the server has no such method."""
    try:
        return int(_events(session, -1, 0)["last"])
    except CliError as error:
        if error.code not in (UNKNOWN_METHOD, INTERNAL):
            raise
        return None


def _events(session: Session, since: int, timeout: int) -> dict[str, Any]:
    import json

    log: dict[str, Any] = json.loads(session.text("onecore.events", since, timeout, timeout=timeout + 30.0))
    return log


def _read(session: Session, oid: int) -> tuple[int, int]:
    from onecore.wire import xmlbody

    return state_pair(xmlbody.read(session.text("one.vm.info", oid)))


def _pair(name: str) -> tuple[int, int] | None:
    """The state pair of the name that the change log uses; None for a name that is none."""
    if name in states.VmState.__members__:
        return int(states.VmState[name]), 0
    return (int(states.VmState.ACTIVE), int(states.Lcm[name])) if name in states.Lcm.__members__ else None
