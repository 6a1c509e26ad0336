"""The end of a hand-over that is not to go on.

It is not told to end while it is about to switch over: QEMU that is told so as it stops the guest, gives up its disks
and sends its last state may keep the guest without its disks, which then dies at a write or at its next move (seen with
7.2).  It is waited for, as it is over in a moment; one that does not come to its switch is told after a while.

An abort that meets the moment all the same may be taken for ever.  QEMU looks whether it was told to cancel, and then
waits for a word to go on: an abort between the two leaves it `cancelling`, the guest stopped (7.2; libvirt sends no
other word).  With that word it cancels.  libvirt, for its part, waits until the guest stands still: when the abort made
it run on before libvirt looked, that is never, and no change of the guest is taken meanwhile (9.0).  A pause makes it
look: it ends its part and lets the guest run.  In both cases no further abort helps.
"""
from __future__ import annotations

from typing import Any

import libvirt

from drivers.base import Context
from drivers.vm.guest import Guest
from drivers.vm.qmp import exchange
from onecore.wire.messages import Doc

_PATIENCE = 0.8
_SWITCH = 1.8
"""Seconds for which a hand-over that is about to switch over is waited for."""
_NEAR = 1.0
"""It is when what is left of the memory takes so many seconds at most."""
_CANCELLING, _GIVEN_UP = "cancelling", ("cancelled", "failed")
_BY_US = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]


class Stop:
    """Has the hand-over of `guest` end, as often as it is called; does more when that does not help.

    To be used for one hand-over.  Calls raise libvirt's errors.
    """

    def __init__(self, ctx: Context, guest: Guest) -> None:
        self.guest = guest
        self._ctx = ctx
        self._first: float | None = None
        self._since: float | None = None

    def __call__(self, _: Any) -> None:
        now = self._ctx.now()
        if self._first is None:
            self._first = now
        if self._since is None:
            if now - self._first < _SWITCH and is_near(self.guest.domain.jobStats()):
                return
            self._since = now
        self.guest.domain.abortJob()
        if now - self._since >= _PATIENCE:
            self._rouse(status(self.guest))

    def _rouse(self, now: str) -> None:
        if now != _CANCELLING and now not in _GIVEN_UP:
            return
        self._since = self._ctx.now()
        if now == _CANCELLING:
            self._ctx.log("warning", f"VM {self.guest.vm}: QEMU waits as it cancels its move; it is told to go on")
            exchange(self.guest, "migrate-continue", {"state": _CANCELLING})
        else:
            self._ctx.log("warning", f"VM {self.guest.vm}: libvirt goes on with a move that QEMU has given up; "
                                     "the guest is paused for a moment, so that it looks")
            _pause(self.guest.domain)


def is_near(stats: Doc) -> bool:
    """Whether a hand-over with these libvirt's STATS is about to switch over, or may be: all but a bit is there."""
    if not stats.get("memory_processed") or stats.get("disk_remaining"):
        return False
    return int(stats.get("memory_remaining", 0)) <= _NEAR * int(stats.get("memory_bps", 0) or 1 << 62)


def status(guest: Guest) -> str:
    """What GUEST's QEMU says of its last move, this one or one before; "" when there was none."""
    return str(exchange(guest, "query-migrate", {}).get("return", {}).get("status", ""))


def has_given_up(guest: Guest) -> bool:
    """Whether that was cancelled or failed, or is about to be."""
    return status(guest) in (_CANCELLING, *_GIVEN_UP)


def _pause(domain: Any) -> None:
    """A pause; one that came when libvirt had ended its part by itself is nobody's but ours, so it is taken back."""
    domain.suspend()
    if domain.state()[:2] == _BY_US:
        domain.resume()
