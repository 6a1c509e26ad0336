"""One acquaintance with oned, from a full read to the first sign that it went away: news in, decisions out."""
from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from onecore.wire.client import Client, ClientError
from onecore.wire.states import NOT_LIVE, HostState, Lcm
from scheduler import explain, reader
from scheduler.bodies import Vm
from scheduler.changes import Changes, Event, decode, digest
from scheduler.config import Config
from scheduler.feed import Feed, Lost, News
from scheduler.match import match
from scheduler.messages import Messages
from scheduler.optimize import movable, optimize
from scheduler.plan import Placement, Reason, Refusal, Waiting
from scheduler.snapshot import Snapshot
from scheduler.submit import Message, Outcome, Submitter
from scheduler.waiting import Queue, is_live, wants_host

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
        self._mover: Submitter | None = None
        self._refresh_at = 0.0
        self._plans_asked = True

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
        self._mover = Submitter(self._connect, self.config.parallel_calls, self._sent)
        self._refresh_at = now + self.config.refresh_seconds
        LOG.info("read %d hosts, %d datastores, %d VMs, %d of them waiting", len(self.snapshot.hosts),
                 len(self.snapshot.datastores), len(self.snapshot.vms), len(self.queue))
        self.step((), now)

    def close(self, wait: float = 0.0) -> None:
        """Stop everything; calls under way get WAIT seconds."""
        if self._feed:
            self._feed.stop()
        for submitter in (self._submitter, self._mover):
            if submitter:
                submitter.close(wait)
        self._client.close()

    def next_due(self, now: float) -> float:
        """When step must be called though no letter came."""
        return min(self._refresh_at, self.queue.next_due(), self.messages.next_due(now))

    def step(self, letters: Iterable[Letter], now: float) -> None:
        """Take the news in, decide, send.  Raises Ended or ClientError when the session is over."""
        changes = self._take_in(letters, now)
        self._read(changes, now)
        self._refresh(now)
        self._decide(now)
        self._plan()
        for vm, text in self.messages.due(now):
            self._sender.message(vm, text)

    def _sent(self, outcome: Outcome) -> None:
        """A task was sent: one line in the log, then on to step.  Called by the submitter's threads."""
        task, error = outcome.task, outcome.error
        if isinstance(task, Message):
            if error:
                LOG.warning("VM %d: message not written: %s", task.vm, error)
        elif error:
            LOG.warning("VM %d: not %s host %d (%s): %s", task.vm, _how(task), task.host, task.name, error)
        else:
            LOG.info("VM %d: %s host %d (%s), datastore %d, rank %d",
                     task.vm, _how(task), task.host, task.name, task.store, task.rank)
        self._tell(outcome)

    @property
    def _sender(self) -> Submitter:
        if self._submitter is None:
            raise Ended("not begun")
        return self._submitter

    @property
    def _mover_of_vms(self) -> Submitter:
        """Migrations have threads of their own: oned asks hosts first, and deploys need not wait for those."""
        if self._mover is None:
            raise Ended("not begun")
        return self._mover

    def _cancel(self, vm: int) -> bool:
        """Call back what was not sent yet."""
        return self._sender.cancel(vm) | self._mover_of_vms.cancel(vm)

    def _take_in(self, letters: Iterable[Letter], now: float) -> Changes:
        events, failed, begun = list[Event](), list[Placement](), set[int]()
        for letter in letters:
            if isinstance(letter, Outcome) and letter.sender in (self._submitter, self._mover):
                failed += self._outcome(letter, now)
                if isinstance(letter.task, Placement) and letter.task.source >= 0:
                    begun.add(letter.task.vm)
            elif isinstance(letter, Lost) and letter.feed is self._feed:
                raise letter.error
            elif isinstance(letter, News) and letter.feed is self._feed:
                if letter.batch.reset:
                    raise Ended("the change log does not reach back")
                events += letter.batch.events
        changes = digest(events, self.snapshot.vms)
        # a migration may have ended before its call was answered: then no more news of it comes
        changes.vms |= ({placement.vm for placement in failed} | begun & self.snapshot.vms.keys()) - changes.gone_vms
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
            self.messages.forget(task.vm)
            if task.source < 0:
                self.queue.drop(task.vm)
            return []
        return [task] if self._refused(task, error, now) else []

    def _refused(self, task: Placement, error: Exception, now: float) -> bool:
        self.snapshot.unplace(task.vm)
        vm, text, moves = self.snapshot.vms.get(task.vm), " ".join(str(error).split()), task.source >= 0
        if vm is None or (moves and task.vm not in self.queue):
            return False
        if self.queue.refused(task.vm, task.host, now, task.live and NOT_LIVE in text) > 1:
            self.messages.want(vm.id, explain.refused(task.name, text, moves), vm.message, now)
        return True

    def _read(self, changes: Changes, now: float) -> None:
        for vm in changes.gone_vms:
            self.snapshot.drop_vm(vm)
            self._forget(vm)
        for vm, (state, lcm) in changes.states.items():
            self.snapshot.set_state(vm, state, lcm)
            self._look(vm, None, now)
        if changes.clusters:
            reader.read_clusters(self._client, self.snapshot)
        if changes.plans:
            self._plans_asked = True
        if changes.groups:
            reader.read_groups(self._client, self.snapshot)
        if changes.hosts or changes.clusters:
            reader.read_hosts(self._client, self.snapshot, None if changes.clusters else changes.hosts)
            self._call_back(changes.hosts)
        if changes.datastores or changes.clusters:
            reader.read_datastores(self._client, self.snapshot)
        if changes.rights:
            changes.vms |= {vm.id for vm in self.snapshot.vms.values() if vm.waits}
        if changes.vms:
            known = {vm: self.snapshot.vms.get(vm) for vm in changes.vms}
            reader.read_vms(self._client, self.snapshot, changes.vms, self.config.read_batch)
            for vm in changes.vms:
                self._look(vm, known[vm], now)

    def _look(self, vm: int, before: Vm | None, moment: float) -> None:
        """The VM may wait for a host now, or not any more, or for another one than BEFORE."""
        now = self.snapshot.vms.get(vm)
        same = before is not None and now is not None and _asks(before) == _asks(now)
        if now and now.placing and not same and self._cancel(vm):
            self.snapshot.unplace(vm)
            self.queue.changed(vm)
        elif now and self.queue.sent_to(vm) and (now.migrating or (now.moves and not now.placing)):
            self._follow(now, moment)
        elif now is None or not (now.placing or wants_host(now)):
            self._cancel(vm)
            self._forget(vm)
        elif not now.placing and not (same and vm in self.queue):
            self.queue.changed(vm)

    def _follow(self, vm: Vm, now: float) -> None:
        """A migration of ours goes on; or it is over, and the VM is to be moved: if it failed, after a rest."""
        host, name, live = self.queue.sent_to(vm.id) or (-1, "", False)
        if vm.migrating:
            return
        if vm.host == host:
            self.queue.changed(vm.id)
        else:
            self.queue.refused(vm.id, host, now, live)
            self.messages.want(vm.id, explain.failed(name, live), vm.message, now)

    def _call_back(self, hosts: Iterable[int]) -> None:
        """Deploys not sent yet to hosts that cannot take them any more."""
        for host in hosts:
            known, use = self.snapshot.hosts.get(host), self.snapshot.use.get(host)
            if use and (known is None or known.state != HostState.MONITORED):
                for vm in [vm for vm in use.vms if self._goes(vm) == host and self._cancel(vm)]:
                    self.snapshot.unplace(vm)
                    self.queue.changed(vm)

    def _goes(self, vm: int) -> int:
        """The host that the VM was sent to, if that is not answered yet; else -1."""
        known = self.snapshot.vms[vm]
        return -1 if not known.placing else known.to if known.to >= 0 else known.host

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
            self._plans_asked = True  # one that was not taken is still waited for

    def _decide(self, now: float) -> None:
        self._wake(now)
        vms = self.snapshot.vms
        waiting = [_waiting(vms[vm], avoid) for vm, avoid in self.queue.due(now) if not self._is_lost(vms[vm], now)]
        if not waiting:
            return
        plan = match(self.snapshot.view(self.config.moves_per_host), waiting, self.policy)
        for placement in plan.placements:
            self._send(placement)
        for refusal in plan.refusals:
            self._no_host(refusal, now)

    def _plan(self) -> None:
        """Make the plans that clusters are asked for."""
        if self._plans_asked:
            self._plans_asked = False
            for cluster, number in reader.read_asked(self._client):
                self._plan_for(cluster, number)

    def _plan_for(self, cid: int, number: int) -> None:
        cluster = self.snapshot.clusters.get(cid)
        if cluster is None:
            return
        vms = movable(self.snapshot, cluster)
        demands = reader.read_demands(self._client, vms, self.config.read_batch)
        moves = optimize(self.snapshot, cluster, demands, self.policy)
        LOG.info("cluster %d: plan %d: %d of %d VMs would be better elsewhere", cid, number, len(moves), len(vms))
        try:
            told = json.dumps([{"vm": move.vm, "host": move.host} for move in moves])
            self._client.call("onecore.cluster.planned", cid, number, told)
        except ClientError as error:
            if error.code in LASTING:
                raise
            LOG.warning("cluster %d: plan %d was not taken: %s", cid, number, error)

    def _send(self, placement: Placement) -> None:
        if placement.source < 0:
            self.snapshot.place(placement.vm, placement.host, placement.store)
            self.queue.sent(placement.vm)
            self._sender.deploy(placement)
            return
        vm = self.snapshot.vms[placement.vm]
        move = replace(placement, live=is_live(vm, placement.host, self.queue.not_live(vm.id), self.config.rescheds))
        self.snapshot.move(vm.id, move.host)
        self.queue.moving(vm.id, move.host, move.name, move.live)
        self._mover_of_vms.deploy(move)

    def _is_lost(self, vm: Vm, now: float) -> bool:
        """Is it to be moved, but in UNKNOWN on a host that does not answer?  Its guest may be well: it waits."""
        host = self.snapshot.hosts.get(vm.host) if vm.moves and vm.lcm == Lcm.UNKNOWN else None
        if host is None or host.answers:
            return False
        self._no_host(Refusal(vm.id, {Reason.STATE: 1}, explain.lost(host.name)), now)
        return True

    def _no_host(self, refusal: Refusal, now: float) -> None:
        self.queue.stuck(refusal.vm, now)
        if Reason.MOVES in refusal.counts:  # its turn comes when another migration ends
            return
        if self.messages.want(refusal.vm, refusal.text, self.snapshot.vms[refusal.vm].message, now):
            LOG.info("VM %d: %s", refusal.vm, refusal.text)

    def _wake(self, now: float) -> None:
        """Look again at VMs for which something changed: hosts, their group, or room where they could fit."""
        grown, changed = self.snapshot.settle()
        vms, moved, self.snapshot.moved = self.snapshot.vms, self.snapshot.moved, False
        regrouped, self.snapshot.regrouped = self.snapshot.regrouped, set()
        if changed:
            self.queue.wake(now, lambda vm: True)
        elif moved:
            self.queue.wake(now, lambda vm: vms[vm].moves)
        if regrouped and not changed:
            self.queue.wake(now, lambda vm: vms[vm].group in regrouped)
        if grown and not changed:
            cpu, memory = self.snapshot.most_free(grown)
            self.queue.wake(now, lambda vm: vms[vm].demand.cpu <= cpu and vms[vm].demand.memory <= memory)


def _asks(vm: Vm) -> tuple[object, ...]:
    """What decides where a VM may go."""
    return vm.demand, vm.priority, vm.group, vm.role


def _waiting(vm: Vm, avoid: frozenset[int]) -> Waiting:
    return Waiting(vm.id, vm.demand, vm.priority, avoid, vm.host if vm.moves else -1, vm.group, vm.role)


def _how(task: Placement) -> str:
    return "on" if task.source < 0 else f"{'live' if task.live else 'moved'} from host {task.source} to"
