"""The probe: a program that says every period how its host is, and nothing else; one virsh process a sample.

Each document has `time` (the host's clock when it was sent) and either `error` or `host`, `vms`, `datastores`,
`roster`, whether `vms` are all there are, and `running`, which tells one start of the host from another.
"""
from __future__ import annotations

import os
import threading
import time
import traceback

from drivers.hand.failure import Failure
from drivers.hand.probe_guests import Guests
from drivers.hand.probe_proc import Machine
from drivers.hand.probe_space import Spaces
from drivers.hand.probe_virsh import Libvirt, Virsh
from drivers.hand.token import Token
from drivers.hand.wire import Doc, Wire

MODULES = ("drivers.hand.probe", "drivers.hand.probe_guests", "drivers.hand.probe_proc", "drivers.hand.probe_space",
           "drivers.hand.probe_virsh", "drivers.hand.commands", "drivers.hand.failure", "drivers.hand.token")
LIBVIRT_SECONDS = 8.0
"""How long libvirt may take for all that a sample asks."""
SPACE_SECONDS = 2.0
_END = 2.0


def probe(argument: Doc, wire: Wire) -> None:
    """The program: a document at once and every `period` seconds, until its driver is gone."""
    token = Token()
    worker = threading.Thread(target=_work, args=(argument, wire, token), daemon=True)
    worker.start()
    try:
        while True:
            wire.receive()
    except (EOFError, OSError):
        token.cancel()
        worker.join(_END)
        os._exit(0)


def _work(argument: Doc, wire: Wire, token: Token) -> None:
    sampler = Sampler(argument, token)
    period, due = float(argument["period"]), time.monotonic()
    while not token.cancelled:
        document = sampler.take()
        try:
            wire.send({**document, "time": time.time()})
        except OSError:
            return
        due = max(due + period, time.monotonic())
        token.wait(due - time.monotonic())


class Sampler:
    """Takes samples; remembers what is needed for the next one."""

    def __init__(self, argument: Doc, token: Token) -> None:
        virsh = Virsh(argument["uri"], token)
        self._libvirt = Libvirt(virsh)
        self._guests = Guests(virsh)
        self._machine = Machine()
        self._spaces = Spaces(argument["datastores"])

    def take(self) -> Doc:
        """How the host is; `error` says why that cannot be told."""
        try:
            return self._take()
        except Failure as failure:
            return {"error": str(failure)}
        except Exception as error:
            traceback.print_exc()
            return {"error": f"internal error in the probe: {type(error).__name__}: {error}"}

    def _take(self) -> Doc:
        end = time.monotonic() + LIBVIRT_SECONDS
        answers = self._libvirt.ask(self._guests.questions, end)
        guests = self._guests.take(answers, end)
        machine = self._machine.take()
        offered = self._libvirt.offered
        return {"host": {**offered, **machine, "attrs": {**offered["attrs"], **machine["attrs"]}}, "vms": guests,
                "roster": self._guests.complete, "datastores": self._spaces.take(SPACE_SECONDS),
                "running": self._machine.running}
