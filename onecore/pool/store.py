"""All live records in memory, their indexes, and the transactions that change them.

A transaction writes through and keeps an undo list: it reads its own writes, everybody else sees all of it or, after
an exception, nothing (decisions run on one thread in one piece).  Its writes go to the writer under a sequence number;
what is not durable yet is marked, so that an answer can wait for what it depends on.
"""
from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, ValuesView
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from onecore.errors import Internal
from onecore.pool.record import Key, Object, Record, row_of
from onecore.pool.writer import Batch, Write, Writer

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Counter(Record):
    """The last id given to a kind; ids are never given twice."""

    TABLE: ClassVar[str] = "counter"
    KEY: ClassVar[tuple[str, ...]] = ("kind",)
    kind: str
    last: int

    def touches(self) -> tuple[Object, ...]:
        """Counters show nowhere."""
        return ()


class Index(Protocol):
    """Follows the records of one class."""

    def change(self, old: Any, new: Any) -> None:
        """A record was added (old None), replaced, or removed (new None)."""
        ...


class Guard(Protocol):
    """Has a say in each transaction."""

    def begin(self) -> None:
        """One begins."""
        ...

    def check(self, tx: Tx) -> None:
        """It would end: what this raises undoes it."""
        ...


class Groups(Generic[R]):
    """Ids of records by a value derived from each (None: not in the index)."""

    def __init__(self, value: Callable[[R], Any], key: Callable[[R], Any] | None = None) -> None:
        self._value, self._key = value, key or (lambda r: r.key())
        self._sets: dict[Any, set[Any]] = {}

    def change(self, old: R | None, new: R | None) -> None:
        """Move the key from the old value's set to the new one's."""
        was = self._value(old) if old is not None else None
        now = self._value(new) if new is not None else None
        if was == now:
            return
        if was is not None and old is not None:
            members = self._sets[was]
            members.discard(self._key(old))
            if not members:
                del self._sets[was]
        if now is not None and new is not None:
            self._sets.setdefault(now, set()).add(self._key(new))

    def of(self, value: Any) -> set[Any]:
        """The keys under VALUE (not to be changed)."""
        return self._sets.get(value, _NOTHING)

    def count(self, value: Any) -> int:
        """How many keys VALUE has."""
        return len(self._sets.get(value, _NOTHING))


class Members(Generic[R]):
    """Ids of records by each of several values derived from each."""

    def __init__(self, values: Callable[[R], Iterable[Any]]) -> None:
        self._values = values
        self._sets: dict[Any, set[Any]] = {}

    def change(self, old: R | None, new: R | None) -> None:
        """Leave the sets of the old values, join those of the new ones."""
        was = set(self._values(old)) if old is not None else _NOTHING
        now = set(self._values(new)) if new is not None else _NOTHING
        for value in was - now:
            members = self._sets[value]
            members.discard(old.key())  # type: ignore[union-attr]
            if not members:
                del self._sets[value]
        for value in now - was:
            self._sets.setdefault(value, set()).add(new.key())  # type: ignore[union-attr]

    def of(self, value: Any) -> set[Any]:
        """The keys under VALUE (not to be changed)."""
        return self._sets.get(value, _NOTHING)

    def count(self, value: Any) -> int:
        """How many keys VALUE has."""
        return len(self._sets.get(value, _NOTHING))


_NOTHING: set[Any] = set()


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the change log."""

    seq: int
    n: int
    time: int
    kind: str
    oid: int
    what: str
    old: str
    new: str
    keys: str
    uid: int
    method: str
    rid: str
    why: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: the user, the API method and the request, why the user may, from which address."""

    uid: int = -1
    gid: int = -1
    method: str = ""
    rid: str = ""
    why: str = ""
    client: str = ""


SYSTEM = Actor()


class Store:
    """Memory.  `given` is the last sequence number handed out, `durable` the last that SQL has."""

    def __init__(self, classes: Iterable[type[Record]], now: Callable[[], float]) -> None:
        self.tables: dict[type[Record], dict[Any, Record]] = {c: {} for c in classes}
        self.indexes: dict[type[Record], list[Index]] = {c: [] for c in self.tables}
        self.guards: list[Guard] = []
        self.seals: dict[type[Record], Callable[[Any, Any], Any]] = {}
        """What changes a record on its way in: (new, the one before or None) -> what is kept."""
        self.now = now
        self.given = self.durable = 0
        self.refuses = ""
        """Why nothing can be stored at the moment; empty when all is well."""
        self.writer: Writer | None = None
        self.current: Tx | None = None
        self._marks: dict[Object, int] = {}
        self._kind_marks: dict[str, int] = {}
        self._marked: deque[tuple[int, tuple[Object, ...]]] = deque()
        self._waiting: list[tuple[int, int, Callable[[BaseException | None], None]]] = []
        self._order = 0
        self._unpublished: deque[tuple[int, list[Event]]] = deque()
        self.on_events: Callable[[list[Event]], None] = lambda events: None
        self.on_bug: Callable[[Exception], None] = _raise
        self.on_corrupt: Callable[[Exception], None] = _raise

    def index(self, cls: type[Record], index: Index) -> None:
        """Let INDEX follow CLS from now on (and take in what is there)."""
        self.indexes[cls].append(index)
        for record in self.tables[cls].values():
            index.change(None, record)

    def get(self, cls: type[R], key: Key) -> R | None:
        """The record, or None."""
        return cast("R | None", self.tables[cls].get(key))

    def all(self, cls: type[R]) -> ValuesView[R]:
        """All live records of a class."""
        return cast("ValuesView[R]", self.tables[cls].values())

    def load(self, records: Iterable[Record]) -> None:
        """Take in records that SQL has."""
        for record in records:
            self.apply(type(record), record.key(), record)

    def apply(self, cls: type[Record], key: Key, new: Record | None) -> Record | None:
        """Put NEW (or nothing) in a record's place; returns what was there."""
        table = self.tables[cls]
        old = table.get(key)
        if new is None:
            table.pop(key, None)
        else:
            table[key] = new
        for index in self.indexes[cls]:
            index.change(old, new)
        return old

    def tx(self, actor: Actor = SYSTEM) -> Tx:
        """A new transaction; use it as a context manager."""
        return Tx(self, actor)

    # -- what answers depend on

    def depends(self, kind: str, oid: int | None = None) -> int:
        """The sequence number that an answer about an object (or a whole kind) has to wait for; 0: none."""
        seq = self._marks.get((kind, oid), 0) if oid is not None else self._kind_marks.get(kind, 0)
        return seq if seq > self.durable else 0

    def when_durable(self, seq: int, then: Callable[[BaseException | None], None]) -> None:
        """Call THEN(None) once SEQ is durable, at once if it is; THEN(error) if it never will be."""
        if seq <= self.durable or self.refuses:
            then(None if seq <= self.durable else Internal(self.refuses))
            return
        self._order += 1
        heapq.heappush(self._waiting, (seq, self._order, then))

    def became_durable(self, seq: int) -> None:
        """The writer committed everything up to SEQ."""
        self.durable = max(self.durable, seq)
        while self._marked and self._marked[0][0] <= seq:
            number, objects = self._marked.popleft()
            for touched in objects:
                if self._marks.get(touched) == number:
                    del self._marks[touched]
        while self._unpublished and self._unpublished[0][0] <= seq:
            self.on_events(self._unpublished.popleft()[1])
        self._tell(seq, None)

    def settle(self, seq: int, error: BaseException) -> None:
        """A commit failed, and SQL has what is numbered up to SEQ: who waits for that is fine, all others get ERROR."""
        self._tell(seq, None)
        self._tell(self.given, error)

    def _tell(self, seq: int, error: BaseException | None) -> None:
        """Call who waits for a number up to SEQ; one that raises keeps nobody else from an answer."""
        while self._waiting and self._waiting[0][0] <= seq:
            then = heapq.heappop(self._waiting)[2]
            try:
                then(error)
            except Exception as bug:
                self.on_bug(bug)

    def clear(self) -> None:
        """Forget everything (before loading again); indexes empty themselves."""
        for cls, table in self.tables.items():
            for key in list(table):
                self.apply(cls, key, None)
        self._marks.clear()
        self._kind_marks.clear()
        self._marked.clear()
        self._unpublished.clear()

    def purge(self, writes: list[Write]) -> None:
        """Delete rows that memory does not hold (retention)."""
        if writes and not self.refuses:
            self.given += 1
            self.committed(self.given, writes, set(), [])

    def committed(self, seq: int, writes: list[Write], touched: set[Object], events: list[Event]) -> None:
        """Called by Tx: mark, queue."""
        for item in touched:
            self._marks[item] = seq
            self._kind_marks[item[0]] = seq
        self._marked.append((seq, tuple(touched)))
        self._unpublished.append((seq, events))
        assert self.writer is not None
        self.writer.submit(Batch(seq, writes))


class Tx:
    """One transaction: `with store.tx(actor) as tx:`; an exception inside undoes all of it."""

    __slots__ = ("store", "actor", "seq", "dry", "_undo", "_writes", "_events", "_after")

    def __init__(self, store: Store, actor: Actor) -> None:
        self.store, self.actor = store, actor
        self.seq = 0
        self.dry = False
        self._undo: list[tuple[type[Record], Key, Record | None]] = []
        self._writes: dict[tuple[type[Record], Key], Record | None] = {}
        self._events: list[tuple[str, int, str, str, str, str]] = []
        self._after: list[Callable[[], None]] = []

    def __enter__(self) -> Tx:
        if self.store.current is not None:
            raise RuntimeError("a transaction is under way: decisions run one at a time")
        self.store.current = self
        for guard in self.store.guards:
            guard.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.store.current = None
        if kind is None and self._writes:
            self._ask()
        if kind is not None or self.dry:
            self._rollback()
        elif self._writes or self._events:
            if self.store.refuses:
                self._rollback()
                raise Internal(self.store.refuses)
            self._commit()

    def get(self, cls: type[R], key: Key) -> R | None:
        """The record as this transaction sees it."""
        return self.store.get(cls, key)

    def put(self, record: R) -> R:
        """Add or replace a record."""
        cls, key = type(record), record.key()
        before = self.store.tables[cls].get(key)
        if cls in self.store.seals:
            record = self.store.seals[cls](record, before)
        self._undo.append((cls, key, before))
        self.store.apply(cls, key, record)
        self._writes[cls, key] = record
        return record

    def delete(self, record: Record) -> None:
        """Remove a record."""
        cls, key = type(record), record.key()
        self._undo.append((cls, key, self.store.tables[cls].get(key)))
        self.store.apply(cls, key, None)
        self._writes[cls, key] = None

    def next_id(self, kind: str) -> int:
        """An id that was never given to KIND before."""
        counter = self.get(Counter, kind)
        last = counter.last + 1 if counter else 0
        self.put(Counter(kind, last))
        return last

    def log(self, kind: str, oid: int, what: str, old: str = "", new: str = "", keys: Iterable[str] = ()) -> None:
        """Append a row to the change log."""
        self._events.append((kind, oid, what, old, new, ",".join(keys)))

    def after(self, call: Callable[[], None]) -> None:
        """Call once this transaction is durable (never, if it is undone or its commit fails)."""
        self._after.append(call)

    @property
    def wrote(self) -> bool:
        """Whether anything is staged."""
        return bool(self._writes or self._events)

    def _ask(self) -> None:
        """Let the guards refuse what was written; it is undone then."""
        try:
            for guard in self.store.guards:
                guard.check(self)
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        try:
            for cls, key, old in reversed(self._undo):
                self.store.apply(cls, key, old)
        except Exception as bug:  # an index does not agree with its records: this memory cannot be trusted
            self.store.on_corrupt(bug)
            raise

    def _commit(self) -> None:
        store = self.store
        store.given += 1
        self.seq = seq = store.given
        writes: list[Write] = [(cls.TABLE, key, None if record is None else row_of(record))
                               for (cls, key), record in self._writes.items()]
        touched: set[Object] = set()
        for record in self._writes.values():
            if record is not None:
                touched.update(record.touches())
        for _, _, old in self._undo:
            if old is not None:
                touched.update(old.touches())
        who, time = self.actor, int(store.now())
        events = [Event(seq, n, time, *event, who.uid, who.method, who.rid, who.why, who.client)
                  for n, event in enumerate(self._events)]
        for event in events:
            writes.append(("log", (seq, event.n), (seq, event.n, time, event.kind, event.oid, event.what, event.old,
                                                   event.new, event.keys, event.uid, event.method, event.rid, event.why,
                                                   event.client)))
        for call in self._after:
            store.when_durable(seq, lambda error, call=call: call() if error is None else None)  # type: ignore[misc]
        store.committed(seq, writes, touched, events)


def _raise(bug: Exception) -> None:
    raise bug
