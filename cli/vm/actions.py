"""The commands that move VMs through their states by one.vm.action, now or as scheduled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from cli.command import command, ids_argument
from cli.ids import each
from cli.kind import Kind
from cli.session import Session
from cli.vm import schedule


@dataclass(frozen=True, slots=True)
class Action:
    """What a name that one.vm.action knows does.  `hard`: what its -hard form does, if there is one.

    `later`: whether it can be scheduled.
    """

    help: str
    hard: str = ""
    later: bool = True


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
    "resched": Action("Mark VMs to be placed anew.", later=False),
    "unresched": Action("Take the mark to be placed anew from VMs.", later=False),
}


def action(name: str, kind: Kind) -> click.Command:
    """The command NAME, one of ACTIONS."""
    known = ACTIONS[name]

    def run(session: Session, kind: Kind, ids: str, hard: bool = False, **when: Any) -> int:
        word = f"{name}-hard" if hard else name
        code = schedule.planned(session, kind, ids, word, when)
        if code is None:
            code = each(session, kind, ids, lambda oid: session.call("one.vm.action", word, oid), word)
        return code

    hard = [click.Option(["--hard"], is_flag=True, help=known.hard)] if known.hard else []
    when = schedule.options() if known.later else []
    examples = [f"{name} 1,3..7,web"]
    if when:
        examples.append(f'{name} web --schedule "09/23 14:15" --weekly 1,5 --end 10')
    return command(kind, name, run, ids_argument(kind), *hard, *when, help=known.help, examples=examples)
