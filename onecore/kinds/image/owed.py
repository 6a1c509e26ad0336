"""Images that a guest may still write to although its VM has them no more: a host owes that guest's end (rule 12)."""
from __future__ import annotations

from typing import Any

from onecore.errors import WrongState
from onecore.kinds.image.record import Image
from onecore.kinds.kind import KINDS
from onecore.kinds.vm.record import ids
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed


def check(core: Core, image: Image, what: str) -> None:
    """Raise WrongState, which says when the image can be WHAT, while a host that is not fenced owes such a guest."""
    owed = min((o for o in core.store.all(Owed) if not o.fenced and image.oid in ids(o.images)), default=None,
               key=Owed.key)
    if owed is None:
        return
    host: Any = core.store.get(KINDS["host"].record, owed.hid)
    where = f"host {owed.hid}" + (f" ({host.name})" if host is not None else "")
    raise WrongState(f"IMAGE {image.oid} ({image.name}) may still be written to by the guest of VM {owed.vid}, "
                     f"whose end {where} owes; it can be {what} when that host answers and has ended it, when it is "
                     "fenced, or when it is deleted (onehost delete) because it is off for good", image.oid)
