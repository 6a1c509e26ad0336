"""Entry points of the programs that work on one kind of object each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from cli.kinds import kind
from cli.program import Program, run


def program(name: str) -> Program:
    """The program of the kind NAME (a module of cli.kinds)."""
    known = kind(name)
    factories = {verb: partial(make, known) for verb, make in known.commands.items()}
    return Program(known.program, factories, f"Manage {known.title}.  Objects are given by id (1,3..7) or name.")


def _entry(name: str) -> Callable[..., int]:
    def entry(arguments: Sequence[str] | None = None) -> int:
        return run(program(name), arguments)

    return entry


onevm = _entry("vm")
onehost = _entry("host")
onevnet = _entry("vnet")
oneimage = _entry("image")
onetemplate = _entry("template")
onedatastore = _entry("datastore")
oneuser = _entry("user")
onegroup = _entry("group")
onecluster = _entry("cluster")
onesecgroup = _entry("secgroup")
onevmgroup = _entry("vmgroup")
onevdc = _entry("vdc")
oneacl = _entry("acl")
onehook = _entry("hook")
onezone = _entry("zone")
oneaudit = _entry("audit")
onetask = _entry("task")
