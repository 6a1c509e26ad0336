"""The fence around a VM's mutating work: a newer operation ends an older one, an older one is refused.

What holds it lies on the VM's host; see drivers/hand/fence.py.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from drivers.base import Context, Executor, Permanent
from onecore.wire.messages import Doc


def fenced(ctx: Context, executor: Executor, args: Doc) -> AbstractContextManager[None]:
    """The fence for an action's args: its VM's directory and what the runner put under `_`."""
    run = args["_"]
    return fence(ctx, executor, args["vm"]["dir"], run["epoch"], run["generation"], run["op"])


@contextmanager
def fenced_for_debt(ctx: Context, executor: Executor, args: Doc) -> Iterator[None]:
    """As fenced(), to end what a host owes; but where a newer operation stands, that keeps older ones out already.

    It may be the VM's start on another host, with which this one shares the place of its fences.
    """
    with ExitStack() as held:
        try:
            held.enter_context(fenced(ctx, executor, args))
        except Permanent as error:
            if not str(error).startswith("superseded by operation"):
                raise
        yield


def fence(ctx: Context, executor: Executor, vm_dir: str, epoch: int, generation: int,
          op: int) -> AbstractContextManager[None]:
    """Work on the VM in VM_DIR alone; Permanent when a newer operation came first or comes meanwhile.

    Waits for the older one that it ends, at most until the command's deadline (then Temporary).
    """
    return executor.fence(vm_dir, (epoch, generation, op), ctx.sleep)
