"""`onehost flush`: hosts get rid of their VMs; on request until none is left, with a bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import click

from cli.cells import number, value
from cli.command import command, ids_argument
from cli.errors import FAILED, UNKNOWN_METHOD, CliError
from cli.host import DISABLE, drain
from cli.host.drain import Drain
from cli.host.progress import View, view
from cli.ids import each_of, ids_of, read_info
from cli.kind import Kind
from cli.session import Session
from cli.spans import SPANS, seconds
from onecore.wire.states import HostState

INTERVAL = 1.0
"""Seconds between looks at the progress."""


def flush(kind: Kind) -> click.Command:
    """The command `flush`."""
    return command(
        kind,
        "flush",
        run,
        ids_argument(kind),
        click.Option(["-w", "--wait"], is_flag=True, help="Until no VM is left on them, with their progress."),
        click.Option(["--timeout"], metavar="TIME", help=f"Wait no longer than {SPANS}."),
        click.Option(["--cancel"], is_flag=True, help="Move no further VMs away; the hosts stay disabled."),
        examples=["flush node3 --wait --timeout 2h", "flush node3 --cancel"],
    )


def run(
    session: Session,
    kind: Kind,
    ids: str,
    wait: bool,
    timeout: str | None,
    cancel: bool,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Disable hosts and have their VMs moved to other ones, running if that works, until none is left.

    VMs that come to run there later are moved too, and a restart of the server changes nothing.  onehost enable ends
    it as --cancel does, and lets the host be used again.  With --wait the exit code is 0 when all hosts are empty.
    """
    if cancel and (wait or timeout):
        raise CliError("give --cancel or --wait, not both")
    ends = now() + seconds(timeout) if timeout else float("inf")
    hosts = ids_of(session, kind, ids)
    if cancel:
        return each_of(session, kind, hosts, partial(cancelled, session), "flush cancelled")
    code = each_of(session, kind, hosts, partial(begin, session, kind), "flushing")
    if code or session.dry or not (wait or timeout):
        return code
    return Wait(session, kind, hosts).until(lambda: ends - now(), sleep)


def cancelled(session: Session, oid: int) -> None:
    """Have no further VM of host OID moved away."""
    session.call("onecore.host.flush", oid, False)


def begin(session: Session, kind: Kind, oid: int) -> None:
    """Flush host OID; a server that cannot disables it and marks the VMs that are on it now."""
    try:
        session.call("onecore.host.flush", oid, True)
    except CliError as error:
        if error.code != UNKNOWN_METHOD:
            raise
        session.call("one.host.status", oid, DISABLE)
        for vm in read_info(session, kind, oid).findall("VMS/ID"):
            try:
                session.call("one.vm.action", "resched", int(vm.text or -1))
            except CliError as refused:  # a VM in a state that cannot move now
                session.fail(refused)


class Wait:
    """Hosts that are being flushed, and what was last told of each."""

    def __init__(self, session: Session, kind: Kind, hosts: list[int]) -> None:
        self.session, self.kind = session, kind
        self.names = {oid: value(read_info(session, kind, oid), "NAME") for oid in hosts}
        self.waiting: dict[int, Drain] = {}

    def until(self, left: Callable[[], float], sleep: Callable[[float], None]) -> int:
        """Until no VM is left on any, or no time is LEFT; the exit code.  Ctrl-C leaves them at it: click.Abort."""
        code = 0
        self.waiting = {oid: drain.ask(self.session, oid) for oid in self.names}
        try:
            with view(self.session) as shown:
                while self.waiting:
                    code = self._look(shown) or code
                    if not self.waiting or left() <= 0:
                        break
                    sleep(min(INTERVAL, max(0.0, left())))
                    self.waiting = {oid: drain.ask(self.session, oid) for oid in self.waiting}
        except KeyboardInterrupt:
            hosts = ",".join(map(str, self.waiting))
            self.session.fail(f"the flush goes on; onehost flush {hosts} --cancel ends it")
            raise click.Abort from None
        return self._late() or code

    def _look(self, shown: View) -> int:
        """Show how far they are; those that are done are waited for no longer."""
        code = 0
        for oid, found in list(self.waiting.items()):
            if drain.is_over(found):
                del self.waiting[oid]
                code = self._over(shown, oid) or code
            else:
                shown.show(oid, self.names[oid], found)
        return code

    def _over(self, shown: View, oid: int) -> int:
        body = read_info(self.session, self.kind, oid)
        vms = len(body.findall("VMS/ID"))
        shown.done(oid, self.names[oid])
        if not vms and int(number(body, "STATE")) == HostState.DISABLED:
            self.session.told(f"{self.kind.tag} {oid}: no VM is left on it")
            return 0
        self.session.fail(f"{self.kind.tag} {oid}: the flush was called off, {vms} VMs are on it")
        return FAILED

    def _late(self) -> int:
        """The time is over: what is left, and why."""
        for oid, found in self.waiting.items():
            self.session.fail(f"{self.kind.tag} {oid}: the time is over, the flush goes on: {drain.summary(found)}")
            self.session.fail_text("\n".join(drain.left(found)))
        return FAILED if self.waiting else 0
