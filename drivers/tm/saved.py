"""The front-end's word that a VM's disks are in their images: a second epilog needs it when their directory is gone.

It lies beside the VM's fence and names the generation that they were of: a host that lost the disks looks the same.
"""
from __future__ import annotations

from drivers.base import Context, Permanent
from drivers.hand.fence import record_path
from drivers.tm.layout import vm_dir
from onecore.wire.messages import Doc


def note_saved(ctx: Context, vm: Doc) -> None:
    """Say, durably, that all that this run of the VM wrote is in its images."""
    front, path = ctx.host({}), _path(vm)
    front.write(path, _word(vm))
    front.run(["sync", "--", path.rpartition("/")[0]])


def is_noted(ctx: Context, vm: Doc) -> bool:
    """Whether that was said."""
    front, path = ctx.host({}), _path(vm)
    return front.exists(path) and front.read(path) == _word(vm)


def check_saved(ctx: Context, vm: Doc) -> None:
    """Permanent unless that was said."""
    if not is_noted(ctx, vm):
        raise Permanent(f"VM {vm['id']}: its persistent disks are neither in {vm_dir(vm)} on its host nor saved into "
                        "their images, which are as they were before it started")


def _path(vm: Doc) -> str:
    return f"{record_path(vm_dir(vm))}.saved"


def _word(vm: Doc) -> bytes:
    return f"{vm.get('uuid', '')} {vm['generation']}\n".encode()
