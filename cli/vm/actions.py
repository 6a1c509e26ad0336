"""The commands that move VMs through their states: one.vm.action, deploy, recover."""

from __future__ import annotations

from dataclasses import dataclass

import click

from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session
from cli.source import read


@dataclass(frozen=True, slots=True)
class Action:
    """What a name that one.vm.action knows does.  `hard`: what its -hard form does, if there is one."""

    help: str
    hard: str = ""


ACTIONS = {
    "hold": Action("Keep pending VMs from being placed."),
    "release": Action("Let held VMs be placed."),
    "terminate": Action("Shut VMs down and delete them.", "Without asking the guest."),
    "poweroff": Action("Shut VMs down; they stay on their host.", "Without asking the guest."),
    "undeploy": Action("Shut VMs down and free their host; disks are kept.", "Without asking the guest."),
    "reboot": Action("Reboot guests.", "As a reset button."),
    "resume": Action("Start VMs that are stopped, suspended, off or undeployed."),
    "suspend": Action("Save the state of VMs on their host."),
    "stop": Action("Save the state of VMs and free their host."),
    "resched": Action("Mark VMs to be placed anew."),
    "unresched": Action("Take that mark away."),
}

FORCE = "warning: a VM that still runs on its old host now writes to its disks from two hosts"


def action(name: str, kind: Kind) -> click.Command:
    """The command NAME, one of ACTIONS."""
    known = ACTIONS[name]

    def run(session: Session, kind: Kind, ids: str, hard: bool = False) -> int:
        word = f"{name}-hard" if hard else name
        return each(session, kind, ids, lambda oid: session.call("one.vm.action", word, oid), name)

    hard = [click.Option(["--hard"], is_flag=True, help=known.hard)] if known.hard else []
    return command(kind, name, run, ids_argument(kind), *hard, help=known.help)


def deploy(kind: Kind) -> click.Command:
    """The command `deploy`."""

    def run(
        session: Session,
        kind: Kind,
        ids: str,
        host: str,
        datastore: str | None,
        enforce: bool,
        file: str | None,
        force: bool,
    ) -> int:
        """Start VMs on a host, in a system datastore if one is named."""
        if force:
            session.fail(FORCE)
        hid = id_of(session, kind_of("host"), host)
        ds = -1 if datastore is None else id_of(session, kind_of("datastore"), datastore)
        extra = read(file) if file else ""
        rest = (extra, True) if force else (extra,)
        return each(
            session, kind, ids, lambda oid: session.call("one.vm.deploy", oid, hid, enforce, ds, *rest), "deploying"
        )

    return command(
        kind,
        "deploy",
        run,
        ids_argument(kind),
        object_argument(kind_of("host"), "host"),
        object_argument(kind_of("datastore"), "datastore", required=False),
        click.Option(["-e", "--enforce"], is_flag=True, help="Only if the host has room."),
        click.Option(["--file"], metavar="FILE", help="Template with NIC_IDs for networks chosen automatically."),
        click.Option(["--force"], is_flag=True, help="Even if a host that is away may run them (administrators)."),
    )


def recover(kind: Kind) -> click.Command:
    """The command `recover`."""
    from onecore.wire.states import RECOVER

    helps = {
        "success": "Go on as if the driver had succeeded.",
        "failure": "Go on as if it had failed.",
        "retry": "Try the failed step again.",
        "delete": "Clean up on the host, then delete.",
        "recreate": "Clean up, then place it anew.",
        "delete-db": "Forget it, whatever is left on the host.",
    }

    def run(session: Session, kind: Kind, ids: str, **asked: bool) -> int:
        """Bring VMs out of a failure or a state that does not end.  Takes exactly one of the options."""
        chosen = [name for name in RECOVER if asked[name.replace("-", "_")]]
        if len(chosen) != 1:
            raise CliError("recover takes one of " + ", ".join(f"--{name}" for name in RECOVER))
        number = RECOVER[chosen[0]]
        return each(session, kind, ids, lambda oid: session.call("one.vm.recover", oid, number), f"recover {chosen[0]}")

    return command(
        kind,
        "recover",
        run,
        ids_argument(kind),
        *(click.Option([f"--{name}"], is_flag=True, help=helps[name]) for name in RECOVER),
    )
