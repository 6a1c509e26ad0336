"""What a command in a guest leaves in the records: QEMU_GA_EXEC of TEMPLATE, the last one and what became of it.

STATUS is RUNNING, DONE (it ended, RETURN_CODE says how), ERROR or CANCELLED; STDOUT and STDERR are base64.
"""
from __future__ import annotations

import base64

from onecore.kinds.vm.edit import keep, template_of
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.template import Vector

NAME = "QEMU_GA_EXEC"
MAX_OUTPUT = 65536
"""Bytes of each output that are kept."""
_ORDER = ("COMMAND", "PID", "RETURN_CODE", "STATUS", "STDERR", "STDIN", "STDOUT")


def begins(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """INFO's `command` is given to the guest, with its `stdin`."""
    write(tx, vm, {"COMMAND": info["command"], "STATUS": "RUNNING", "STDIN": info["stdin"]})
    return vm


def write(tx: Tx, vm: Vm, state: Vector) -> None:
    """STATE is what is known of the VM's last command."""
    tree = template_of(tx, vm)
    tree.set(NAME, {key: state[key] for key in _ORDER if key in state})
    keep(tx, vm, tree)


def output(text: str) -> str:
    """What a command wrote, as the record holds it: the beginning of it, in base64."""
    data = text.encode(errors="replace")
    if len(data) > MAX_OUTPUT:
        data = data[:MAX_OUTPUT] + f"\n[{len(data) - MAX_OUTPUT} more bytes are left out]\n".encode()
    return base64.b64encode(data).decode()
