"""Virtual machines: columns and commands of `onevm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import counted, lasted, leaf, megabytes, named, number, value
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
COMMANDS = {
    "show": "cli.vm.show:command",
    "create": "cli.vm.create:create",
    "wait": "cli.vm.wait:wait",
    "log": "cli.vm.log:log",
    "deploy": "cli.vm.placing:deploy",
    "migrate": "cli.vm.placing:migrate",
    "recover": "cli.vm.recover:recover",
    "disk-attach": "cli.vm.disks:attach",
    "disk-resize": "cli.vm.disks:resize",
    "disk-saveas": "cli.vm.disks:saveas",
    "nic-attach": "cli.vm.nics:attach",
    "nic-update": "cli.vm.nics:update",
    "snapshot-create": "cli.vm.snapshots:create",
    "snapshot-list": "cli.vm.snapshots:list_",
    "disk-snapshot-create": "cli.vm.snapshots:disk_create",
    "disk-snapshot-rename": "cli.vm.snapshots:disk_rename",
    "disk-snapshot-list": "cli.vm.snapshots:disk_list",
    "resize": "cli.vm.capacity:resize",
    "updateconf": "cli.vm.capacity:updateconf",
    "save": "cli.vm.save:save",
    "exec": "cli.vm.guest:exec_",
    "create-chart": "cli.vm.scheduled:create_chart",
    "ssh": "cli.vm.access:ssh",
    "console": "cli.vm.console:console",
    "vnc": "cli.vm.access:vnc",
    "port-forward": "cli.vm.access:port_forward",
}
"""Where the other commands are made."""
CHANGES = {"snapshot": "cli.vm.snapshots:change", "disk-snapshot": "cli.vm.snapshots:disk_change"}
"""Where those are made that revert to a snapshot, or delete one."""
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


def _task(body: Body, view: View) -> str:
    return view.more.get("TASK", {}).get(value(body, "ID"), "-")


KIND = Kind(
    program="onevm",
    title="virtual machines",
    tag="VM",
    method="vm",
    pool="vmpool",
    decrypt=(True,),
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
        Column("DISKS", "How many disks it has", 5, counted("TEMPLATE/DISK")),
        Column("TASK", "What is under way", 20, _task, left=True, more=later("cli.task.ops:by_vm")),
    ),
    default=("ID", "USER", "GROUP", "NAME", "STAT", "CPU", "MEM", "HOST", "TIME"),
    views={"user": ("ID", "NAME", "IP", "STAT", "CPU", "MEM", "HOST", "TIME")},
    commands={
        **shared("list", "top", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock"),
        **{name: later(path) for name, path in COMMANDS.items()},
        **{name: later("cli.vm.actions:action", name) for name in ACTIONS},
        **{f"{what}-{verb}": later(path, verb) for what, path in CHANGES.items() for verb in ("revert", "delete")},
        **{f"{what.lower()}-detach": later("cli.vm.parts:detach", what) for what in ("disk", "NIC")},
        **{f"exec-{verb}": later("cli.vm.guest:again", verb) for verb in ("retry", "cancel")},
        "vmgroup-add": later("cli.vm.groups:add"),
        "vmgroup-del": later("cli.vm.groups:delete"),
        **{f"sg-{verb}": later("cli.vm.nics:group", verb) for verb in ("attach", "detach")},
        **{name: later("cli.vm.scheduled:delete", name) for name in ("sched-delete", "delete-chart")},
        **{name: later("cli.vm.scheduled:update", name) for name in ("sched-update", "update-chart")},
        "monitoring": later("cli.samples:monitoring", "vm"),
    },
)
