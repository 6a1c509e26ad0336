"""The programs of drivers/hand that work for the information driver on hosts, and one answer of such a program."""
from __future__ import annotations

from queue import Empty, SimpleQueue

from drivers.base import Context, Permanent, Program, Temporary
from drivers.hand import probe, probe_check, survey
from onecore.wire.messages import Doc

PROBE = Program("drivers.hand.probe:probe", probe.MODULES)
SURVEY = Program("drivers.hand.survey:survey", survey.MODULES)
CHECK = Program("drivers.hand.probe_check:check", probe_check.MODULES)
_POLL = 0.1
_URI = "qemu:///system"


def uri_of(ctx: Context) -> str:
    """The URI of libvirt on KVM hosts, as they themselves call it."""
    return str((ctx.settings.get("kvm") or {}).get("uri") or _URI)


def ask(ctx: Context, host: Doc, program: Program, argument: Doc) -> Doc:
    """The first document of PROGRAM on HOST, which ends it; Temporary or Permanent when that is an error."""
    heard: SimpleQueue[Doc | None] = SimpleQueue()
    channel = ctx.host(host).start(program, argument, heard.put)
    try:
        document = _first(ctx, heard)
    finally:
        channel.close()
    if document is None:
        raise Temporary(f"{host['name']}: the program that was sent there ended without an answer")
    if "error" in document:
        raise (Temporary if document.get("temporary", True) else Permanent)(document["error"])
    return document


def _first(ctx: Context, heard: SimpleQueue[Doc | None]) -> Doc | None:
    while True:
        try:
            return heard.get(timeout=_POLL)
        except Empty:
            ctx.check()
