"""Commands inside a guest, by its agent: QEMU's, over the channel that every guest has unless it was told not to.

A command is given once: the core never sends an `exec` again, whatever became of its driver.
"""
from __future__ import annotations

import base64
import json
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import libvirt_qemu

from drivers.base import Context, DriverError, Permanent, Temporary
from drivers.fence import fenced
from drivers.vm.guest import Guest
from drivers.vm.work import LAST_SECONDS, ask, running
from onecore.wire.messages import Doc

ANSWER_SECONDS = 10
"""How long the agent may take for an answer."""
WAKES = 30
"""How often, a second apart, it is looked for in a guest that is just starting."""
LONGEST = 1 << 20
"""Bytes of each output that are handed on."""
_POLLS = (0.05, 0.1, 0.2, 0.5)
_SHELL = 'command -v setsid > /dev/null && exec setsid /bin/sh -c "$1"; exec /bin/sh -c "$1"'
"""A process group of its own where that can be had, so that all of it can be ended."""
_END = 'kill -9 -- "-$1" 2> /dev/null || kill -9 "$1"'


def execute(ctx: Context, args: Doc) -> Doc:
    """Run `command` by the guest's shell with `stdin`: its pid, return_code (128 and the signal's number if one ended
    it), stdout and stderr as text.

    The VM's fence is held while the command is given, not while it runs: what is asked of the VM meanwhile, its end for
    one, must not wait for it.
    """
    _until_it_answers(ctx, args)
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        pid = _begin(ctx, args, guest)
    return _wait(ctx, args, guest, pid)


def _until_it_answers(ctx: Context, args: Doc) -> None:
    """Give an agent the time to start with its guest; one that never does is told by the command itself."""
    for _ in range(WAKES):
        try:
            call(ctx, args, running(ctx, args), "guest-ping", {})
            return
        except Temporary:
            ctx.sleep(1.0)


def call(ctx: Context, args: Doc, guest: Guest, command: str, arguments: Doc) -> Any:
    """What the agent answers; Temporary when it does not, Permanent when it refuses or there is none."""
    text = json.dumps({"execute": command, "arguments": arguments})
    answer = ask(ctx, args, f"{command} by the agent of",
                 lambda _: str(libvirt_qemu.qemuAgentCommand(guest.domain, text, ANSWER_SECONDS, 0)))
    return json.loads(answer)["return"]


def freeze(ctx: Context, args: Doc, guest: Guest) -> None:
    """The guest's file systems are frozen, if its agent does that; thaw() is to follow."""
    try:
        ask(ctx, args, "freezing the file systems of", lambda _: _freeze(guest))
    except DriverError as error:
        ctx.log("info", str(error))


def _freeze(guest: Guest) -> None:
    """libvirt would wait for ever for an agent that does not answer."""
    guest.domain.agentSetResponseTimeout(ANSWER_SECONDS, 0)
    guest.domain.fsFreeze()


def is_frozen(ctx: Context, args: Doc, guest: Guest) -> bool:
    """Whether the guest's file systems are."""
    try:
        return bool(call(ctx, args, guest, "guest-fsfreeze-status", {}) == "frozen")
    except DriverError as error:
        ctx.log("info", str(error))
        return False


def thaw(ctx: Context, args: Doc, guest: Guest) -> None:
    """They are written to again."""
    try:
        ask(ctx, args, "thawing the file systems of", lambda _: guest.domain.fsThaw())
    except DriverError as error:
        ctx.log("warning", str(error))


def _begin(ctx: Context, args: Doc, guest: Guest) -> int:
    """The command's process, as the agent numbers it."""
    shell: Doc = {"path": "/bin/sh", "arg": ["-c", _SHELL, "sh", str(args["command"])], "capture-output": True}
    given = str(args.get("stdin") or "").encode()
    if given:
        shell["input-data"] = base64.b64encode(given).decode()
    return int(call(ctx, args, guest, "guest-exec", shell)["pid"])


def _wait(ctx: Context, args: Doc, guest: Guest, pid: int) -> Doc:
    """Until it ended; cancelled or late, it is ended."""
    try:
        for poll in chain(_POLLS, repeat(_POLLS[-1])):
            status = call(ctx, args, guest, "guest-exec-status", {"pid": pid})
            if status.get("exited"):
                return outcome(pid, status)
            ctx.sleep(poll)
    except DriverError as error:
        if not isinstance(error, Permanent):
            with suppress(DriverError):
                call(ctx.beyond(LAST_SECONDS), args, guest, "guest-exec",
                     {"path": "/bin/sh", "arg": ["-c", _END, "sh", str(pid)]})
        raise
    raise AssertionError("unreachable")


def outcome(pid: int, status: Doc) -> Doc:
    """The action's result, from what the agent says of a process that ended."""
    code = 128 + int(status["signal"]) if "signal" in status else int(status.get("exitcode", 0))
    return {"pid": pid, "return_code": code, "stdout": _text(status, "out"), "stderr": _text(status, "err")}


def _text(status: Doc, which: str) -> str:
    data = base64.b64decode(status.get(f"{which}-data") or "")[:LONGEST]
    return data.decode(errors="replace").replace("\0", "\ufffd")
