"""The fence around a VM's mutating work: a newer operation ends an older one, an older one is refused.

What holds it lies on the VM's host; see drivers/hand/fence.py.
"""
from __future__ import annotations

from contextlib import AbstractContextManager

from drivers.base import Context, Executor
from onecore.wire.messages import Doc


def fenced(ctx: Context, executor: Executor, args: Doc) -> AbstractContextManager[None]:
    """The fence for an action's args: its VM's directory and what the runner put under `_`."""
    run = args["_"]
    return fence(ctx, executor, args["vm"]["dir"], run["epoch"], run["generation"], run["op"])


def fence(ctx: Context, executor: Executor, vm_dir: str, epoch: int, generation: int,
          op: int) -> AbstractContextManager[None]:
    """Work on the VM in VM_DIR alone; Permanent when a newer operation came first or comes meanwhile.

    Waits for the older one that it ends, at most until the command's deadline (then Temporary).
    """
    return executor.fence(vm_dir, (epoch, generation, op), ctx.sleep)
