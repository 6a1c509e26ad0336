"""What is left of a NIC that a running guest did not get."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("libvirt")

from drivers.base import Cancelled, Context
from drivers.net import around
from drivers.vm import plug
from drivers.vm.guest import Guest
from drivers.vm.work import LAST_SECONDS
from onecore.wire.messages import Doc

NIC = {"NIC_ID": "1", "MAC": "02:00:0a:00:00:02", "BRIDGE": "br1"}
OTHER = {**NIC, "NIC_ID": "0", "MAC": "02:00:0a:00:00:01"}


def refused(patch: pytest.MonkeyPatch, *nics: Doc) -> list[Any]:
    """Cancelled while libvirt attaches the NIC to a guest with NICS: with how many seconds its network was cleaned."""
    cleaned: list[Any] = []

    def cancel(*given: Any) -> None:
        raise Cancelled("cancelled")
    patch.setattr(plug, "attach", cancel)
    patch.setattr(plug, "read", lambda ctx, args, guest: SimpleNamespace(interface=lambda nic: None))
    patch.setattr(plug, "host_facts", lambda ctx, host: None)
    patch.setattr(plug, "interface_xml", lambda vm, facts, nic: "")
    patch.setattr(around, "pre", lambda ctx, args: None)
    patch.setattr(around, "clean", lambda ctx, args: cleaned.append((ctx, args["vm"]["nics"])))
    ctx = cast(Context, SimpleNamespace(beyond=lambda seconds: seconds))
    with pytest.raises(Cancelled):
        plug._plug(ctx, {"host": {}, "vm": {"id": 7, "nics": list(nics)}}, cast(Guest, None), NIC)
    return cleaned


def test_a_network_is_cleaned_although_the_command_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With time of its own; not when another NIC of the guest is in it."""
    assert refused(monkeypatch, NIC) == [(LAST_SECONDS, [NIC])]
    assert refused(monkeypatch, OTHER, NIC) == []


def test_a_nic_goes_again_although_the_command_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the guest, its network is not wholly made: out with it, with time for that."""
    taken: list[Any] = []

    def cancel(*given: Any) -> None:
        raise Cancelled("cancelled")
    monkeypatch.setattr(plug, "read", lambda ctx, args, guest: SimpleNamespace(interface=lambda nic: nic))
    monkeypatch.setattr(around, "post", cancel)
    monkeypatch.setattr(plug, "detach", lambda ctx, args, guest, noun, find: taken.append((ctx, noun)))
    monkeypatch.setattr(around, "clean", lambda ctx, args: taken.append((ctx, "network")))
    ctx = cast(Context, SimpleNamespace(beyond=lambda seconds: seconds))
    with pytest.raises(Cancelled):
        plug._plug(ctx, {"host": {}, "vm": {"id": 7, "nics": [NIC]}}, cast(Guest, None), NIC)
    assert taken == [(LAST_SECONDS, "NIC 1"), (LAST_SECONDS, "network")]
