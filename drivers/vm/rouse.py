"""A hand-over that QEMU has given up, and libvirt still waits for.

Before the switch QEMU stands still, and libvirt looks for that.  When the move is aborted in just that moment the guest
runs on, and libvirt waits, without end, for it to stand still (seen with 9.0); no change of the guest is taken
meanwhile, and no abort helps.  A pause is taken: libvirt looks again, ends its part and lets the guest run.
"""
from __future__ import annotations

import json

import libvirt_qemu

from drivers.base import Context
from drivers.vm.guest import Guest

_GIVEN_UP = ("cancelled", "failed")
_QUESTION = json.dumps({"execute": "query-migrate"})


class Rouser:
    """Told again and again how a hand-over goes; pauses a guest whose own has nothing new for PATIENCE seconds.

    What an earlier move of the guest left in its QEMU looks the same until this one comes to its memory; a guest that
    is paused then is let run where it arrives.
    """

    def __init__(self, ctx: Context, guest: Guest, patience: float) -> None:
        self._ctx, self._guest, self._patience = ctx, guest, patience
        self._seen: object = None
        self._since = 0.0

    def see(self, now: object) -> None:
        """How it goes, as anything that can be compared.  Raises libvirt's errors."""
        if now != self._seen:
            self._seen, self._since = now, self._ctx.now()
        elif self._ctx.now() - self._since >= self._patience and self._has_given_up():
            self._since = self._ctx.now()
            self._ctx.log("warning", f"VM {self._guest.vm}: libvirt goes on with a move that QEMU has given up; "
                                     "the guest is paused for a moment, so that it looks")
            self._guest.domain.suspend()

    def _has_given_up(self) -> bool:
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(self._guest.domain, _QUESTION, 0))
        return answer.get("return", {}).get("status") in _GIVEN_UP
