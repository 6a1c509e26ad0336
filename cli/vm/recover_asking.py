"""`onevm recover --interactive`: what happened to a VM, and what to do about it, asked until it is well or left."""

from __future__ import annotations

import click

from cli.errors import CliError
from cli.ids import read_info
from cli.kind import Kind
from cli.session import Session
from cli.task import ops
from cli.task.follow import follow
from cli.vm.body import state_pair
from cli.vm.log import MOST
from cli.vm.recover import call
from onecore.wire import states

LINES = 12
"""Lines of the VM's log that are shown at first."""
CHOICES = {
    "r": ("retry", "try the failed step again"),
    "s": ("success", "go on as if it had succeeded"),
    "f": ("failure", "go on as if it had failed"),
    "l": ("log", "more of the log"),
    "q": ("quit", "leave it"),
}


def ask(session: Session, kind: Kind, oid: int, force: bool) -> int:
    """Show how VM OID is and do what the user chooses, again and again; the exit code."""
    lines = LINES
    while True:
        waits = _tell(session, kind, oid, lines)
        if not waits:
            return 0
        choice = _choose()
        if choice == "quit":
            return 0
        if choice == "log":
            lines = min(4 * lines, MOST)
            continue
        try:
            call(session, oid, choice, force)
        except CliError as error:
            session.fail(error)
        _follow(session, oid)


def _tell(session: Session, kind: Kind, oid: int, lines: int) -> bool:
    """Show the VM, and say whether there is something to recover."""
    body = read_info(session, kind, oid)
    pair = state_pair(body)
    name = states.vm_name(*pair)
    session.say(f"VM {oid} {body.findtext('NAME') or ''}: {name}")
    settled = pair[0] != states.VmState.ACTIVE or pair[1] == states.Lcm.RUNNING
    if settled and pair[0] != states.VmState.CLONING_FAILURE:
        return False
    error = body.findtext("USER_TEMPLATE/ERROR")
    if error:
        session.say(f"  error: {error}")
    op = ops.of_vm(session, oid)
    if op:
        session.say(f"  operation {op['id']}: {op['what']}, {ops.progress(op)}")
    for line in session.text("onecore.vm.log", oid, lines).rstrip("\n").splitlines():
        session.say(f"  | {line}")
    return True


def _choose() -> str:
    asked = ", ".join(f"{key} {what} ({help})" for key, (what, help) in CHOICES.items())
    key = click.prompt(asked, type=click.Choice(list(CHOICES)), show_choices=False, default="q", err=True)
    return CHOICES[str(key)][0]


def _follow(session: Session, oid: int) -> None:
    op = ops.of_vm(session, oid)
    if op:
        ops.result(session, follow(session, int(op["id"])))
