"""The fence around a VM's mutating work: a newer operation ends an older one, an older one is refused.

What holds it lies on the VM's host; see drivers/hand/fence.py.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from drivers.base import Context, Executor, Permanent, Temporary
from drivers.hand.fence import record_path
from onecore.wire.messages import Doc

_NEWER = re.compile(r"superseded by operation \d+ \(epoch \d+, generation (\d+)\)")


def fenced(ctx: Context, executor: Executor, args: Doc) -> AbstractContextManager[None]:
    """The fence for an action's args: its VM's directory and what the runner put under `_`."""
    run = args["_"]
    return fence(ctx, executor, args["vm"]["dir"], run["epoch"], run["generation"], run["op"])


@contextmanager
def fenced_on_both(ctx: Context, args: Doc, to: Executor, to_dir: str) -> Iterator[None]:
    """As fenced(), and then on the host TO that the VM moves to, in the directory there.

    Hosts that share a file system may share the place of their fences: then there is but one to hold.
    """
    here, run = ctx.host(args["host"]), args["_"]
    with ExitStack() as held:
        held.enter_context(fenced(ctx, here, args))
        if not _is_shared(here, args["vm"]["dir"], to, to_dir):
            held.enter_context(fence(ctx, to, to_dir, run["epoch"], run["generation"], run["op"]))
        yield


def _is_shared(here: Executor, vm_dir: str, there: Executor, to_dir: str) -> bool:
    """Whether the claim that was entered HERE is seen THERE: each has a mark that no other has."""
    ours, theirs = (record_path(each) for each in (vm_dir, to_dir))
    if here is there:
        return ours == theirs
    return there.exists(theirs) and there.read(theirs) == here.read(ours)


@contextmanager
def fenced_for_debt(ctx: Context, executor: Executor, args: Doc) -> Iterator[None]:
    """As fenced(), to end what a host owes; but where a newer generation stands, that keeps older ones out already.

    It may be the VM's start on another host, with which this one shares the place of its fences.  Temporary where a
    newer operation of the same generation stands: what was owed may be what it is about, come back alive.
    """
    with ExitStack() as held:
        try:
            held.enter_context(fenced(ctx, executor, args))
        except Permanent as error:
            newer = _NEWER.match(str(error))
            if newer is None:
                raise
            if int(newer[1]) <= int(args["_"]["generation"]):
                raise Temporary(str(error)) from error
        yield


def fence(ctx: Context, executor: Executor, vm_dir: str, epoch: int, generation: int,
          op: int) -> AbstractContextManager[None]:
    """Work on the VM in VM_DIR alone; Permanent when a newer operation came first or comes meanwhile.

    Waits for the older one that it ends, at most until the command's deadline (then Temporary).
    """
    return executor.fence(vm_dir, (epoch, generation, op), ctx.sleep)
