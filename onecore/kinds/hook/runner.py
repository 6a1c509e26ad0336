"""Runs hooks: follows the change log from each hook's cursor, one run after the other for each object.

What was begun and not noted when oned ended is run again: at least once, never not at all.
"""
from __future__ import annotations

import asyncio
import base64
import shlex
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from onecore.kinds.events import wait
from onecore.kinds.hook.match import DEFAULT_SECONDS, matches
from onecore.kinds.hook.record import Hook, HookRun
from onecore.kinds.host.commands import document as host_document
from onecore.kinds.host.record import Host
from onecore.kinds.kind import KINDS, tree_of
from onecore.kinds.restore import held
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Event
from onecore.wire.messages import Command, Doc, Result
from onecore.wire.template import Tree
from onecore.wire.xmlrpc import unescape

AT_ONCE, QUEUED = 8, 10_000
"""Programs at work at once; runs that may wait before the change log is read no further."""
KEPT = 100
"""Runs of a hook that are remembered."""
AGAIN = 2.0
"""Seconds until a run that could not be begun, or noted, is tried again."""
IDLE = 30
"""Seconds between two notes of how far a hook is that has nothing to do."""
_ACTOR = Actor(method="hook")


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be made."""

    hook: int
    event: Event
    retry: HookRun | None = None


class Runner:
    """All hooks of a core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._queues: dict[tuple[str, int], deque[Job]] = {}
        self._busy: set[tuple[str, int]] = set()
        self._open: dict[int, dict[int, int]] = {}
        """Hook -> sequence number -> its runs that are not noted yet."""
        self._seen = 0
        self._wake = asyncio.Event()

    def calls(self) -> set[str]:
        """The methods that hooks wait for."""
        return {tree_of(hook.template).get("CALL") for hook in self._core.store.all(Hook) if hook.type == "api"}

    async def run(self) -> None:
        """For ever: read, match, run."""
        core, noted = self._core, core_time(self._core)
        self._seen = min((hook.cursor for hook in core.store.all(Hook)), default=core.changelog.last)
        while not core.changelog.closing:
            if held(core) or not core.store.all(Hook) or self._waiting() >= QUEUED:
                self._seen = self._seen if core.store.all(Hook) else core.changelog.last
                await self._rest()
                continue
            await self._read()
            await asyncio.sleep(0)  # much to read keeps nobody else waiting
            if core_time(core) - noted >= IDLE:
                noted = core_time(core)
                self._note_idle()
            if core.changelog.last <= self._seen:
                await wait(core, AGAIN)

    async def _rest(self) -> None:
        """Until hooks change, or for a while: what else happens does not matter."""
        self._wake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), AGAIN)

    def wake(self) -> None:
        """Hooks changed."""
        self._wake.set()

    def add(self, job: Job) -> None:
        """Run JOB in its turn."""
        key = (job.event.kind, job.event.oid)
        self._queues.setdefault(key, deque()).append(job)
        numbers = self._open.setdefault(job.hook, {})
        numbers[job.event.seq] = numbers.get(job.event.seq, 0) + 1
        self._begin()

    def _waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    async def _read(self) -> None:
        log, since = self._core.changelog, self._seen
        last = log.last  # what is numbered up to here and has no rows is seen too
        if log.too_old(since):
            self._core.log.warning(f"hooks missed what happened before {log.first_kept}: the change log is no longer "
                                   "there")
            since = max(log.first_kept, since)
        found = log.after(since) if log.in_memory(since) else await asyncio.to_thread(log.read, since)
        for event in found:
            for hook in list(self._core.store.all(Hook)):
                if event.seq > hook.cursor and event.seq > self._seen and matches(tree_of(hook.template), hook.type,
                                                                                    event):
                    self.add(Job(hook.oid, event))
        self._seen = found[-1].seq if found else max(since, last)

    def _begin(self) -> None:
        if len(self._busy) >= AT_ONCE:
            return
        for key, queue in list(self._queues.items()):
            if key in self._busy:
                continue
            while queue and self._core.store.get(Hook, queue[0].hook) is None:  # the hook is no more
                self._close(queue.popleft())
            if queue:
                self._busy.add(key)
                self._start(key, queue[0])
            elif self._queues.get(key) is queue:
                del self._queues[key]
            if len(self._busy) >= AT_ONCE:
                return

    def _start(self, key: tuple[str, int], job: Job) -> None:
        core, hook = self._core, self._core.store.get(Hook, job.hook)
        if hook is None:
            self._close(self._queues[key].popleft())
            self._next(key)
            return
        tree = tree_of(hook.template)
        command, args = _order(core, tree, job)
        core.dispatcher.ask("im", command, lambda result: self._ended(key, job, args, result))

    def _ended(self, key: tuple[str, int], job: Job, args: Doc, result: Result) -> None:
        core = self._core
        lost = not result.ok and result.temporary and result.error.startswith("the im driver")
        if lost or core.store.refuses:
            core.clock.call_later(AGAIN, lambda: self._start(key, job))
            return
        told = result.data if result.ok else {"code": -1, "stdout": "", "stderr": result.error}
        self._queues[key].popleft()
        self._close(job)
        try:
            self._note(job, args, told)
        except Exception as error:  # it is run again after a restart
            core.log.error(f"a run of hook {job.hook} could not be noted", error=error)
        self._next(key)

    def _next(self, key: tuple[str, int]) -> None:
        """The first of a queue is done."""
        self._busy.discard(key)
        self._begin()

    def _close(self, job: Job) -> None:
        numbers = self._open.get(job.hook, {})
        numbers[job.event.seq] = numbers.get(job.event.seq, 1) - 1
        if numbers[job.event.seq] <= 0:
            del numbers[job.event.seq]

    def _cursor(self, hook: Hook) -> int:
        """Up to which number all of a hook's runs are noted."""
        pending = self._open.get(hook.oid)
        return max(hook.cursor, min(pending) - 1 if pending else self._seen)

    def _note(self, job: Job, args: Doc, told: Doc) -> None:
        core = self._core
        hook = core.store.get(Hook, job.hook)
        if hook is None:
            return
        with core.store.tx(_ACTOR) as tx:
            run = _run_of(hook, job, core.now(), args, told)
            tx.put(run)
            if hook.runs >= KEPT:
                tx.delete(replace(run, number=hook.runs - KEPT))
            tx.put(replace(hook, runs=hook.runs + 1, cursor=self._cursor(hook)))
            tx.after(lambda: self._forget(run))
        level = "info" if run.code == 0 else "warning"
        core.log.line(level, f"hook {hook.oid} ({hook.name}): {run.command} ended with {run.code}"
                      + (f": {run.stderr.strip()[-200:]}" if run.code else ""))

    def _forget(self, run: HookRun) -> None:
        """SQL has it, memory need not."""
        self._core.store.apply(HookRun, run.key(), None)

    def _note_idle(self) -> None:
        behind = [hook for hook in self._core.store.all(Hook) if self._cursor(hook) > hook.cursor]
        if behind and not self._core.store.refuses:
            with self._core.store.tx(_ACTOR) as tx:
                for hook in behind:
                    tx.put(replace(hook, cursor=self._cursor(hook)))


def _run_of(hook: Hook, job: Job, now: int, args: Doc, told: Doc) -> HookRun:
    argv, host = args["argv"], args.get("host") or {}
    return HookRun(hook.oid, hook.runs, now, argv[0], shlex.join(argv[1:]) or args["stdin"], int(bool(args["stdin"])),
                   host.get("name", ""), int(told["code"]), str(told["stdout"]), str(told["stderr"]),
                   int(job.retry is not None), job.event.seq)


def core_time(core: Core) -> float:
    """Monotonic seconds."""
    return core.clock.monotonic()


def _order(core: Core, tree: Tree, job: Job) -> tuple[Command, Doc]:
    """The command for a driver, and its args."""
    if job.retry is not None:
        again = job.retry
        words = [] if again.stdin else shlex.split(again.arguments)
        argv, stdin = [again.command, *words], again.arguments if again.stdin else ""
    else:
        path = tree.get("COMMAND")
        words = [_filled(core, word, job.event) for word in shlex.split(tree.get("ARGUMENTS"))]
        argv, stdin = [path if path.startswith("/") else str(core.home / "hooks" / path), *words], ""
        if tree.get("ARGUMENTS_STDIN").upper() == "YES":
            argv, stdin = argv[:1], "\n".join(words)
    args: Doc = {"argv": argv, "stdin": stdin, "host": _host(core, tree, job.event)}
    seconds = float(tree.get("TIMEOUT") or DEFAULT_SECONDS)
    return Command(0, 0, core.epoch, 0, f"hook:{job.event.kind}:{job.event.oid}", "script", "hook",
                   ("hook", job.hook), seconds, args=args), args


def _filled(core: Core, word: str, event: Event) -> str:
    """A word of ARGUMENTS: $TEMPLATE is the object's body, $API what an API hook is told, both in base64."""
    if word in ("$TEMPLATE", "${TEMPLATE}"):
        return base64.b64encode(_body(core, event).encode()).decode()
    if word in ("$API", "${API}"):
        return base64.b64encode(event.new.encode()).decode()
    return {"$ID": str(event.oid), "$STATE": event.new, "$EVENT": str(event.seq)}.get(word, word)


def _body(core: Core, event: Event) -> str:
    kind = KINDS.get(event.kind)
    found: Any = core.store.get(kind.record, event.oid) if kind else None
    if kind is None or found is None:
        return f"<{event.kind.upper()}><ID>{event.oid}</ID></{event.kind.upper()}>"
    return unescape(b"".join(kind.body(core, found)).decode())


def _host(core: Core, tree: Tree, event: Event) -> Doc:
    """Where the program runs: on the VM's or the host itself with REMOTE, else here."""
    if tree.get("REMOTE").upper() != "YES":
        return {}
    vm: Any = core.store.get(KINDS["vm"].record, event.oid) if event.kind == "vm" else None
    hid = event.oid if event.kind == "host" else vm.hid if vm is not None else -1
    host = core.store.get(Host, hid)
    return host_document(core, host) if host is not None else {}
