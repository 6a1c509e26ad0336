"""A hand-over that QEMU has given up, and libvirt still waits for.

Before the switch QEMU stands still, and libvirt looks for that.  When the move is aborted in just that moment the guest
runs on, and libvirt waits, without end, for it to stand still (seen with 9.0); no change of the guest is taken
meanwhile, and no abort helps.  A pause is taken: libvirt looks again, ends its part and lets the guest run.
"""
from __future__ import annotations

import json
from typing import Any

import libvirt
import libvirt_qemu

from drivers.base import Context
from drivers.vm.guest import Guest

_PATIENCE = 0.8
_GIVEN_UP = ("cancelled", "failed")
_QUESTION = json.dumps({"execute": "query-migrate"})
_BY_US = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]


class Stop:
    """Tells libvirt to end the hand-over of `guest`, as often as it is called; rouses it when that does not help.

    To be used for one hand-over.  Calls raise libvirt's errors.
    """

    def __init__(self, ctx: Context, guest: Guest) -> None:
        self.guest = guest
        self._ctx = ctx
        self._since: float | None = None

    def __call__(self, _: Any) -> None:
        self.guest.domain.abortJob()
        if self._since is None:
            self._since = self._ctx.now()
        if self._ctx.now() - self._since >= _PATIENCE and has_given_up(self.guest):
            self._since = self._ctx.now()
            self._ctx.log("warning", f"VM {self.guest.vm}: libvirt goes on with a move that QEMU has given up; "
                                     "the guest is paused for a moment, so that it looks")
            _rouse(self.guest.domain)


def has_given_up(guest: Guest) -> bool:
    """Whether GUEST's QEMU says that its last move, this one or one before, was cancelled or failed."""
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(guest.domain, _QUESTION, 0))
    return answer.get("return", {}).get("status") in _GIVEN_UP


def _rouse(domain: Any) -> None:
    """A pause; one that came when libvirt had ended its part by itself is nobody's but ours, so it is taken back."""
    domain.suspend()
    if domain.state()[:2] == _BY_US:
        domain.resume()
