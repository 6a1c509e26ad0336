"""The hand-over of a guest from libvirt to libvirt: begun, followed, stopped."""
from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import libvirt

from drivers.base import Context, DriverError, Temporary
from drivers.ssh.settings import is_here
from drivers.vm.connection import call
from drivers.vm.domain.moved import moved_xml
from drivers.vm.domain.values import truth
from drivers.vm.errors import is_gone
from drivers.vm.guest import Guest
from drivers.vm.rouse import Stop, has_given_up
from drivers.vm.settings import parse
from drivers.vm.work import ask, look, ours
from onecore.wire.messages import Doc

_ALWAYS = (libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
           | libvirt.VIR_MIGRATE_UNSAFE)
"""UNSAFE: libvirt cannot see that a bind mount or an overlay is the same file system on both hosts; the core knows."""
_DOCUMENT = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
_BUSY = (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)
_FEATURES = (("MIGRATE_AUTO_CONVERGE", libvirt.VIR_MIGRATE_AUTO_CONVERGE),
             ("MIGRATE_COMPRESSED", libvirt.VIR_MIGRATE_COMPRESSED))
_POLL, _STOP_POLL = 0.5, 0.2
_STALLED = 15.0
"""Seconds without anything new after which a hand-over is looked at more closely."""
SWITCHING = "switching over"
"""The stage in which the guest stands still on its way."""


def hand_over(ctx: Context, args: Doc, moved: Doc, guest: Guest, copied: list[str]) -> None:
    """The guest runs on the host `to` as the VM MOVED; the disks COPIED are copied on the way."""
    uri = target_uri(ctx, args["to"])
    xml = ask(ctx, args, "reading", lambda _: str(guest.domain.XMLDesc(_DOCUMENT)))
    params: dict[str, Any] = {libvirt.VIR_MIGRATE_PARAM_DEST_XML: moved_xml(xml, args["vm"]["dir"], moved)}
    if copied:
        params[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = copied
    flags = flags_of(args["vm"], bool(copied))
    tell = Teller(ctx, guest)
    tell.say("copying disks" if copied else "copying memory")
    ask(ctx, args, f"moving to {args['to']['name']}", lambda _: guest.domain.migrateToURI3(uri, params, flags),
        on_stop=Stop(ctx, guest), tick=tell)
    tell.over()


def flags_of(vm: Doc, copies: bool) -> int:
    """libvirt's flags for the VM: its FEATURES ask for some; COPIES: disks are copied too."""
    features = vm.get("attrs", {}).get("FEATURES") or {}
    wanted = sum(flag for name, flag in _FEATURES if truth(features, name))
    return int(_ALWAYS | wanted | (libvirt.VIR_MIGRATE_NON_SHARED_INC if copies else 0))


def target_uri(ctx: Context, to: Doc) -> str:
    """How the other host's libvirt reaches that of TO; this machine's name is what its libvirt says."""
    name = str(to["name"])
    if is_here(to):
        name = call(ctx, to, "asking for the name of the front-end", lambda connection: str(connection.getHostname()))
    return parse(ctx.settings).migrate_uri.replace("{host}", name)


def is_under_way(ctx: Context, args: Doc, guest: Guest) -> bool:
    """Whether libvirt is handing the guest over, for whoever asked for it."""
    stats = ask(ctx, args, "asking for the job of", partial(_stats, guest))
    return (stats.get("type") in _BUSY
            and stats.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)


def _stats(guest: Guest, _: Any) -> Doc:
    """Nothing of a guest that is gone meanwhile: its job is over."""
    try:
        return dict(guest.domain.jobStats())
    except libvirt.libvirtError as error:
        if is_gone(error) or error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return {}
        raise


def follow(ctx: Context, args: Doc, there: Doc, guest: Guest) -> None:
    """Wait for the end of a hand-over that is under way; left early, or when nothing becomes of it, it is stopped."""
    tell = Teller(ctx, guest)
    try:
        while is_under_way(ctx, args, guest):
            ask(ctx, args, "following the move of", tell)
            if tell.still >= _STALLED and look(ctx, there) is None and ask(
                    ctx, args, "asking QEMU for the move of", lambda _: has_given_up(guest)):
                ctx.log("warning", f"VM {guest.vm}: nothing becomes of its move, it is stopped")
                stop(ctx, args)
                return
            ctx.sleep(_POLL)
    except DriverError:
        with suppress(DriverError):
            stop(ctx.beyond(4.0), args)
        raise


def stop(ctx: Context, args: Doc) -> None:
    """No hand-over is under way any more, in one way or the other; Temporary when it does not end in time."""
    end: Stop | None = None
    while (guest := ours(ctx, args)) is not None and guest.is_on and _is_still(ctx, args, guest):
        end = end or Stop(ctx, guest)
        end.guest = guest  # over the line that stands now
        with suppress(DriverError):
            ask(ctx, args, "stopping the move of", end)
        ctx.sleep(_STOP_POLL)


def _is_still(ctx: Context, args: Doc, guest: Guest) -> bool:
    try:
        return is_under_way(ctx, args, guest)
    except Temporary:
        raise
    except DriverError:
        return False


class Teller:
    """Tells the core how far each stage of a hand-over is, and nothing while it stands still."""

    def __init__(self, ctx: Context, guest: Guest) -> None:
        self._ctx, self._guest = ctx, guest
        self._seen: dict[str, int] = {}
        self._last: object = None
        self._since = ctx.now()

    def __call__(self, _: Any) -> None:
        with suppress(libvirt.libvirtError):
            now = stage(self._guest.domain.jobStats())
            self.say(*now)
            if now != self._last:
                self._last, self._since = now, self._ctx.now()

    @property
    def still(self) -> float:
        """Seconds for which there has been nothing new."""
        return self._ctx.now() - self._since

    def say(self, step: str, done: int = 0, total: int = 0) -> None:
        """Tell of a stage that is new, or further than it was."""
        if done > self._seen.get(step, -1):
            self._seen[step] = done
            self._ctx.progress(step, done, total)

    def over(self) -> None:
        """The guest was handed over: the stages that began and ended between two looks are told now."""
        for step in ("copying memory", SWITCHING):
            if step not in self._seen:
                self.say(step)


def stage(stats: Doc) -> tuple[str, int, int]:
    """What a hand-over is at, with bytes done and in all: disks first, then memory, again and again what changed."""
    disk, memory = int(stats.get("disk_total", 0)), int(stats.get("memory_total", 0))
    if disk and int(stats.get("disk_remaining", 0)):
        return "copying disks", int(stats.get("disk_processed", 0)), disk
    done = int(stats.get("memory_processed", 0))
    if memory and done and not int(stats.get("memory_remaining", 0)):
        return SWITCHING, done, max(done, memory)
    return "copying memory", done, max(done, memory)
