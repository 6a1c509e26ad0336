"""What is used is derived from the rows: after any changes, the sums are those of a fresh count."""
from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from onecore.kinds.usage import Sums
from onecore.kinds.vm.record import Vm, ids, text
from onecore.pool.store import Groups, Members, Store

BLANK = {f.name: "" if f.type == "str" else 0 for f in fields(Vm)} | {"to_hid": -1}


def _vm(oid: int, hid: int, cpu: int, memory: int, disk: int, images: tuple[int, ...]) -> Vm:
    return Vm(**{**BLANK, "oid": oid, "hid": hid, "cpu": cpu, "memory": memory, "disk_mb": disk,  # type: ignore[arg-type]
                 "images": text(images)})


VMS = st.builds(_vm, st.integers(0, 5), st.integers(-1, 2), st.integers(1, 400), st.integers(1, 4096),
                st.integers(0, 100), st.lists(st.integers(0, 3), max_size=3).map(tuple))


@given(st.lists(st.one_of(VMS, st.integers(0, 5)), max_size=40))
def test_sums_equal_a_fresh_count(changes: list[Vm | int]) -> None:
    """VMs come, change, move, and go (a number: that one is removed)."""
    store = Store([Vm], lambda: 0.0)
    sums, by_host, by_image = Sums(), Groups[Vm](lambda v: v.hid if v.hid >= 0 else None), Members[Vm](
        lambda v: ids(v.images))
    for index in (sums, by_host, by_image):
        store.index(Vm, index)
    for change in changes:
        if isinstance(change, int):
            store.apply(Vm, change, None)
        else:
            store.apply(Vm, change.oid, change)
    vms = list(store.all(Vm))
    for host in range(3):
        here = [v for v in vms if v.hid == host]
        assert sums.of(host) == (sum(v.cpu for v in here), sum(v.memory for v in here) * 1024,
                                 sum(v.disk_mb for v in here), len(here))
        assert by_host.of(host) == {v.oid for v in here}
    for image in range(4):
        assert by_image.of(image) == {v.oid for v in vms if image in ids(v.images)}
    again = Sums()
    for vm in vms:
        again.change(None, vm)
    assert [again.of(h) for h in range(3)] == [sums.of(h) for h in range(3)]


@given(st.lists(st.integers(0, 10**9)))
def test_ids_as_text(numbers: list[int]) -> None:
    """There and back, each once, in order."""
    assert ids(text(numbers)) == tuple(dict.fromkeys(numbers))
