"""One acquaintance with oned, from a full read to the first sign that it went away: news in, decisions out."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from onecore.wire.client import Client, ClientError
from onecore.wire.states import HostState
from scheduler import explain, reader
from scheduler.bodies import Vm
from scheduler.changes import Changes, Event, decode, digest
from scheduler.config import Config
from scheduler.feed import Feed, Lost, News
from scheduler.match import match
from scheduler.messages import Messages
from scheduler.plan import Placement, Refusal, Waiting
from scheduler.snapshot import Snapshot
from scheduler.submit import Message, Outcome, Submitter
from scheduler.waiting import Queue, wants_host

LOG = logging.getLogger("onesched")
LONGEST_MESSAGE_PAUSE = 300.0
LASTING = frozenset((0, 0x0100))
"""Codes of errors that are not about the VM: oned is away, or does not know us."""
Letter = News | Lost | Outcome


class Ended(Exception):
    """This session is over; read everything anew."""


class Session:
    """The snapshot and all that follows from it.  One thread calls it; `tell` may be called from others."""

    def __init__(self, config: Config, connect: Callable[[], Client], tell: Callable[[Letter], None]) -> None:
        self.config, self.policy = config, config.ranks()
        self.snapshot = Snapshot()
        self.queue = Queue(config.retry_seconds, config.retry_most_seconds)
        self.messages = Messages(config.message_seconds, LONGEST_MESSAGE_PAUSE, config.messages_per_second)
        self._connect, self._tell = connect, tell
        self._client = connect()
        self._feed: Feed | None = None
        self._submitter: Submitter | None = None
        self._refresh_at = 0.0

    def begin(self, now: float) -> None:
        """Read everything, follow the events from there, decide; raises ClientError."""
        since = decode(self._client.text("onecore.events", -1, 0)).last
        reader.read_everything(self._client, self.snapshot, self.config.read_batch)
        for vm in self.snapshot.vms.values():
            if wants_host(vm):
                self.queue.changed(vm.id)
        self._feed = Feed(self._connect(), since, self.config.poll_seconds, self._tell)
        self._feed.start()
        self._submitter = Submitter(self._connect, self.config.parallel_calls, self._sent)
        self._refresh_at = now + self.config.refresh_seconds
        LOG.info("read %d hosts, %d datastores, %d VMs, %d of them waiting", len(self.snapshot.hosts),
                 len(self.snapshot.datastores), len(self.snapshot.vms), len(self.queue))
        self.step((), now)

    def close(self, wait: float = 0.0) -> None:
        """Stop everything; calls under way get WAIT seconds."""
        if self._feed:
            self._feed.stop()
        if self._submitter:
            self._submitter.close(wait)
        self._client.close()

    def next_due(self, now: float) -> float:
        """When step must be called though no letter came."""
        return min(self._refresh_at, self.queue.next_due(), self.messages.next_due(now))

    def step(self, letters: Iterable[Letter], now: float) -> None:
        """Take the news in, decide, send.  Raises Ended or ClientError when the session is over."""
        changes = self._take_in(letters, now)
        self._read(changes)
        self._refresh(now)
        self._decide(now)
        for vm, text in self.messages.due(now):
            self._sender.message(vm, text)

    def _sent(self, outcome: Outcome) -> None:
        """A task was sent: one line in the log, then on to step.  Called by the submitter's threads."""
        task, error = outcome.task, outcome.error
        if isinstance(task, Message):
            if error:
                LOG.warning("VM %d: message not written: %s", task.vm, error)
        elif error:
            LOG.warning("VM %d: not on host %d (%s): %s", task.vm, task.host, task.name, error)
        else:
            LOG.info("VM %d: on host %d (%s), datastore %d, rank %d",
                     task.vm, task.host, task.name, task.store, task.rank)
        self._tell(outcome)

    @property
    def _sender(self) -> Submitter:
        if self._submitter is None:
            raise Ended("not begun")
        return self._submitter

    def _take_in(self, letters: Iterable[Letter], now: float) -> Changes:
        events, failed = list[Event](), list[Placement]()
        for letter in letters:
            if isinstance(letter, Outcome) and letter.sender is self._submitter:
                failed += self._outcome(letter, now)
            elif isinstance(letter, Lost) and letter.feed is self._feed:
                raise letter.error
            elif isinstance(letter, News) and letter.feed is self._feed:
                if letter.batch.reset:
                    raise Ended("the change log does not reach back")
                events += letter.batch.events
        changes = digest(events, self.snapshot.vms)
        changes.vms |= {placement.vm for placement in failed} - changes.gone_vms
        changes.hosts |= {placement.host for placement in failed}
        return changes

    def _outcome(self, outcome: Outcome, now: float) -> list[Placement]:
        """Learn how a task fared; the placement if it failed."""
        task, error = outcome.task, outcome.error
        if isinstance(error, ClientError) and error.code in LASTING:
            raise error
        if not isinstance(task, Placement):
            return []
        if error is None:
            self.snapshot.placed(task.vm)
            self._forget(task.vm)
            return []
        return [task] if self._refused(task, error, now) else []

    def _refused(self, task: Placement, error: Exception, now: float) -> bool:
        self.snapshot.unplace(task.vm)
        vm = self.snapshot.vms.get(task.vm)
        if vm is None:
            return False
        if self.queue.refused(task.vm, task.host, now) > 1:
            self.messages.want(vm.id, explain.refused(task.name, " ".join(str(error).split())), vm.message, now)
        return True

    def _read(self, changes: Changes) -> None:
        for vm in changes.gone_vms:
            self.snapshot.drop_vm(vm)
            self._forget(vm)
        for vm, (state, lcm) in changes.states.items():
            self.snapshot.set_state(vm, state, lcm)
            self._look(vm, None)
        if changes.clusters:
            reader.read_clusters(self._client, self.snapshot)
        if changes.hosts or changes.clusters:
            reader.read_hosts(self._client, self.snapshot, None if changes.clusters else changes.hosts)
            self._call_back(changes.hosts)
        if changes.datastores or changes.clusters:
            reader.read_datastores(self._client, self.snapshot)
        if changes.vms:
            known = {vm: self.snapshot.vms.get(vm) for vm in changes.vms}
            reader.read_vms(self._client, self.snapshot, changes.vms, self.config.read_batch)
            for vm in changes.vms:
                self._look(vm, known[vm])

    def _look(self, vm: int, before: Vm | None) -> None:
        """The VM may wait for a host now, or not any more, or for another one than BEFORE."""
        now = self.snapshot.vms.get(vm)
        same = before is not None and now is not None and (before.demand, before.priority) == (now.demand, now.priority)
        if now and now.placing and not same and self._sender.cancel(vm):
            self.snapshot.unplace(vm)
            self.queue.changed(vm)
        elif now is None or not (now.placing or wants_host(now)):
            self._sender.cancel(vm)
            self._forget(vm)
        elif not now.placing and not (same and vm in self.queue):
            self.queue.changed(vm)

    def _call_back(self, hosts: Iterable[int]) -> None:
        """Deploys not sent yet to hosts that cannot take them any more."""
        for host in hosts:
            known, use = self.snapshot.hosts.get(host), self.snapshot.use.get(host)
            if use and (known is None or known.state != HostState.MONITORED):
                for vm in [vm for vm in use.vms if self.snapshot.vms[vm].placing and self._sender.cancel(vm)]:
                    self.snapshot.unplace(vm)
                    self.queue.changed(vm)

    def _forget(self, vm: int) -> None:
        self.queue.drop(vm)
        self.messages.forget(vm)

    def _refresh(self, now: float) -> None:
        """Read monitored figures again when they are old."""
        if now >= self._refresh_at:
            self._refresh_at = now + self.config.refresh_seconds
            reader.read_hosts(self._client, self.snapshot)
            reader.read_datastores(self._client, self.snapshot)
            self.queue.wake(now, lambda vm: True)

    def _decide(self, now: float) -> None:
        self._wake(now)
        vms = self.snapshot.vms
        waiting = [Waiting(vm, vms[vm].demand, vms[vm].priority, avoid) for vm, avoid in self.queue.due(now)]
        if not waiting:
            return
        plan = match(self.snapshot.view(), waiting, self.policy)
        for placement in plan.placements:
            self.snapshot.place(placement.vm, placement.host, placement.store)
            self.queue.sent(placement.vm)
            self._sender.deploy(placement)
        for refusal in plan.refusals:
            self._no_host(refusal, now)

    def _no_host(self, refusal: Refusal, now: float) -> None:
        self.queue.stuck(refusal.vm, now)
        if self.messages.want(refusal.vm, refusal.text, self.snapshot.vms[refusal.vm].message, now):
            LOG.info("VM %d: %s", refusal.vm, refusal.text)

    def _wake(self, now: float) -> None:
        """Look again at VMs for which something changed: anything about hosts, or room where they could fit."""
        grown, changed = self.snapshot.settle()
        if changed:
            self.queue.wake(now, lambda vm: True)
        elif grown:
            cpu, memory = self.snapshot.most_free(grown)
            vms = self.snapshot.vms
            self.queue.wake(now, lambda vm: vms[vm].demand.cpu <= cpu and vms[vm].demand.memory <= memory)
