"""Words with a running guest's QEMU that libvirt has none for, through libvirt all the same."""
from __future__ import annotations

import json
from typing import Any

import libvirt_qemu

from drivers.base import Context, Permanent
from drivers.vm.guest import Guest
from drivers.vm.work import ask
from onecore.wire.messages import Doc

_POLL = 0.1
_ENDED = ("concluded", "null")


def tell(ctx: Context, args: Doc, guest: Guest, command: str, arguments: Doc) -> Any:
    """What QEMU answers to COMMAND; Permanent when it refuses."""
    answer = ask(ctx, args, f"{command} for", lambda _: exchange(guest, command, arguments))
    if "error" in answer:
        raise Permanent(f"VM {args['vm']['id']}: {command}: {answer['error'].get('desc', '')}")
    return answer.get("return")


def exchange(guest: Guest, command: str, arguments: Doc) -> Doc:
    """QEMU's answer as it is, for who is on a line already.  Raises libvirt's errors."""
    text = json.dumps({"execute": command, "arguments": arguments})
    answer: Doc = json.loads(libvirt_qemu.qemuMonitorCommand(guest.domain, text, 0))
    return answer


def run_job(ctx: Context, args: Doc, guest: Guest, command: str, job: str, arguments: Doc) -> None:
    """Have QEMU do a job of its own, called JOB, to the end; Permanent, saying why, when it fails.

    One that is under way already is waited for.  It cannot be stopped.
    """
    if _found(ctx, args, guest, job) is None:
        tell(ctx, args, guest, command, {"job-id": job, **arguments})
    while (found := _found(ctx, args, guest, job)) is not None:
        if found["status"] in _ENDED:
            tell(ctx, args, guest, "job-dismiss", {"id": job})
            if found.get("error"):
                raise Permanent(f"VM {args['vm']['id']}: {command}: {found['error']}")
            return
        ctx.sleep(_POLL)


def images(ctx: Context, args: Doc, guest: Guest) -> dict[str, Doc]:
    """What QEMU knows of its files, by the name of the node; `snapshots` are the system snapshots in them."""
    nodes = tell(ctx, args, guest, "query-named-block-nodes", {"flat": True})
    return {node["node-name"]: node.get("image", {}) for node in nodes}


def _found(ctx: Context, args: Doc, guest: Guest, job: str) -> Doc | None:
    jobs = tell(ctx, args, guest, "query-jobs", {})
    return next((each for each in jobs if each["id"] == job), None)
