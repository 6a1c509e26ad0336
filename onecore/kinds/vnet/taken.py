"""Which addresses of networks are taken: leased, on hold, or reserved for another network."""
from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from dataclasses import dataclass

from onecore.kinds.vnet.record import Lease, Range


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Addresses FIRST up to before AFTER of a range that are reserved: they are range `ar` of network `vnet`."""

    first: int
    after: int
    vnet: int
    ar: int


class Reserved:
    """The reserved parts of ranges, as spans: one each, whatever their size."""

    def __init__(self, free: Free) -> None:
        self._spans: dict[tuple[int, int], list[Span]] = {}
        self._free = free

    def change(self, old: Range | None, new: Range | None) -> None:
        """A range was made, changed or removed."""
        for found, add in ((old, False), (new, True)):
            if found is None or found.parent < 0:
                continue
            where = (found.parent, found.parent_ar)
            span = Span(found.parent_idx, found.parent_idx + found.size, found.vnet, found.ar)
            if add:
                insort(self._spans.setdefault(where, []), span)
                continue
            self._spans[where].remove(span)
            if not self._spans[where]:
                del self._spans[where]
            self._free.look_again(where, span.first)

    def of(self, vnet: int, ar: int) -> list[Span]:
        """The spans of a range, ascending (not to be changed)."""
        return self._spans.get((vnet, ar), [])

    def count(self, vnet: int, ar: int) -> int:
        """How many addresses of a range are reserved."""
        return sum(span.after - span.first for span in self.of(vnet, ar))

    def at(self, vnet: int, ar: int, index: int) -> Span | None:
        """The span that an address is in, or None."""
        spans = self.of(vnet, ar)
        place = bisect_right(spans, index, key=lambda span: span.first) - 1
        return spans[place] if place >= 0 and index < spans[place].after else None


class Free:
    """Which addresses are taken, by range; the next free one is found without scanning."""

    def __init__(self) -> None:
        self._taken: dict[tuple[int, int], dict[int, Lease]] = {}
        self._next: dict[tuple[int, int], int] = {}
        self._freed: dict[tuple[int, int], list[int]] = {}
        self._by_vm: dict[int, set[tuple[int, int, int]]] = {}
        self.reserved = Reserved(self)

    def change(self, old: Lease | None, new: Lease | None) -> None:
        """A lease was given, moved to another owner, or given back."""
        for lease in (old, new):
            if lease is None:
                continue
            where, key = (lease.vnet, lease.ar), (lease.vnet, lease.ar, lease.idx)
            if lease is old:
                del self._taken[where][lease.idx]
                if lease.vm >= 0:
                    self._by_vm[lease.vm].discard(key)
                    if not self._by_vm[lease.vm]:
                        del self._by_vm[lease.vm]
                if lease.idx < self._next.get(where, 0):
                    heapq.heappush(self._freed.setdefault(where, []), lease.idx)
            else:
                self._taken.setdefault(where, {})[lease.idx] = lease
                if lease.vm >= 0:
                    self._by_vm.setdefault(lease.vm, set()).add(key)

    def taken(self, vnet: int, ar: int) -> dict[int, Lease]:
        """The leases of a range by index (not to be changed)."""
        return self._taken.get((vnet, ar), {})

    def of_vm(self, vm: int) -> list[tuple[int, int, int]]:
        """Keys of a VM's leases."""
        return sorted(self._by_vm.get(vm, ()))

    def next(self, found: Range) -> int | None:
        """The next free index: onwards from the last one given, then what was given back, lowest first."""
        where = (found.vnet, found.ar)
        taken, index = self._taken.get(where, {}), self._next.get(where, 0)
        while index < found.size and (after := self._past(where, taken, index)) > index:
            index = after
        self._next[where] = index
        if index < found.size:
            return index
        freed = self._freed.get(where, [])
        while freed and self._past(where, taken, freed[0]) > freed[0]:
            heapq.heappop(freed)
        return freed[0] if freed and freed[0] < found.size else None

    def next_index(self, vnet: int, ar: int) -> int:
        """NEXT_INDEX, as bodies show it."""
        return self._next.get((vnet, ar), 0)

    def gap(self, found: Range, size: int, first: int = -1) -> int | None:
        """Where SIZE free addresses in a row begin: at FIRST, or anywhere when it is -1; None when they do not."""
        where = (found.vnet, found.ar)
        busy = sorted([(i, i + 1) for i in self.taken(*where)]
                      + [(span.first, span.after) for span in self.reserved.of(*where)])
        begin = max(first, 0)
        for start, after in [*busy, (found.size, found.size)]:
            if start >= begin + size:
                return begin
            if first >= 0 and after > begin:
                return None
            begin = max(begin, after)
        return None

    def last(self, found: Range) -> int:
        """The highest index of a range that is taken, -1: none."""
        spans = self.reserved.of(found.vnet, found.ar)
        return max(max(self.taken(found.vnet, found.ar), default=-1), spans[-1].after - 1 if spans else -1)

    def look_again(self, where: tuple[int, int], index: int) -> None:
        """Addresses from INDEX on are free again."""
        if where in self._next:
            self._next[where] = min(self._next[where], index)

    def _past(self, where: tuple[int, int], taken: dict[int, Lease], index: int) -> int:
        """The first index after INDEX that may be free, INDEX itself when it is."""
        span = self.reserved.at(*where, index)
        return span.after if span else index + 1 if index in taken else index
