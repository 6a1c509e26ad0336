"""Virtual machines: columns and commands of `onevm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import lasted, leaf, megabytes, named, number, value
from cli.kind import Column, Kind, View, later, shared
from cli.vm.body import addresses, state_pair
from onecore.wire import states

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

ACTIONS = (
    "hold",
    "release",
    "terminate",
    "poweroff",
    "undeploy",
    "reboot",
    "resume",
    "suspend",
    "stop",
    "resched",
    "unresched",
)
"""Names of cli.vm.actions.ACTIONS, here so that a list need not load them."""
_PLACED = (states.VmState.ACTIVE, states.VmState.SUSPENDED, states.VmState.POWEROFF)


def _name(body: Body, view: View) -> str:
    return ("*" if value(body, "RESCHED") == "1" else "") + value(body, "NAME")


def _state(body: Body, view: View) -> str:
    return states.vm_short(*state_pair(body))


def _host(body: Body, view: View) -> str:
    return value(body, "HISTORY_RECORDS/HISTORY[last()]/HOSTNAME", "-") if state_pair(body)[0] in _PLACED else "-"


def _age(body: Body, view: View) -> str:
    return lasted((number(body, "ETIME") or view.now) - number(body, "STIME"))


def _addresses(body: Body, view: View) -> str:
    nics = [*body.findall("TEMPLATE/NIC"), *body.findall("TEMPLATE/NIC_ALIAS")]
    return ",".join(address for nic in nics for address in addresses(nic)) or "-"


KIND = Kind(
    program="onevm",
    title="virtual machines",
    tag="VM",
    method="vm",
    pool="vmpool",
    filtered=True,
    tail=(-1,),
    extended="infoextended",
    edits="USER_TEMPLATE",
    show=later("cli.vm.show:show"),
    columns=(
        Column("ID", "Id of the virtual machine", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name, with a * when it is to be placed anew", 15, _name, left=True, wide=True),
        Column("STAT", "Its state", 4, _state, left=True, state=True),
        Column("CPU", "CPU that it asks for", 4, leaf("TEMPLATE/CPU")),
        Column("MEM", "Memory that it asks for", 7, megabytes("TEMPLATE/MEMORY")),
        Column("HOST", "Host that it is on", 15, _host, left=True),
        Column("CLUSTER", "Id of its cluster", 7, leaf("HISTORY_RECORDS/HISTORY[last()]/CID")),
        Column("TIME", "Time since it was created", 11, _age),
        Column("IP", "Its addresses", 15, _addresses, left=True),
    ),
    default=("ID", "USER", "GROUP", "NAME", "STAT", "CPU", "MEM", "HOST", "TIME"),
    views={"user": ("ID", "NAME", "IP", "STAT", "CPU", "MEM", "HOST", "TIME")},
    commands={
        **shared("list", "show", "top", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock"),
        **{name: later(f"cli.vm.{name}:{name}") for name in ("create", "wait", "log")},
        **{name: later(f"cli.vm.actions:{name}") for name in ("deploy", "recover")},
        **{name: later("cli.vm.actions:action", name) for name in ACTIONS},
        "monitoring": later("cli.samples:monitoring", "vm"),
    },
)
