"""Carrying decisions out: a few threads, each with its own connection, that send decisions and messages to oned.

Deploys and migrations go first.  What has not been sent yet can be called back.
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from onecore.wire import template
from onecore.wire.client import Client
from scheduler.plan import Placement

APPEND = 1
SAVE = 0
"""migration_type: a guest that does not move live is saved."""
WAITS = MARKED = True
"""A decision holds as long as the VM is as it was seen: one that was put on hold or is to stay is left alone."""
MIGRATE_SECONDS = 90.0
"""oned asks both hosts before it accepts a migration."""


@dataclass(frozen=True, slots=True)
class Message:
    """A text that a VM should show as its SCHED_MESSAGE."""

    vm: int
    text: str


Task = TypeVar("Task", Placement, Message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a placement or message fared: `error` is None when oned accepted it."""

    sender: Submitter
    task: Placement | Message
    error: Exception | None


class Submitter:
    """Sends tasks with WORKERS calls at a time; TELL gets each outcome, from any thread."""

    def __init__(self, connect: Callable[[], Client], workers: int, tell: Callable[[Outcome], None]) -> None:
        self._tell = tell
        self._deploys: OrderedDict[int, Placement] = OrderedDict()
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._news = threading.Condition()
        self._busy: set[int] = set()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, args=(connect(),), name=f"submit-{n}", daemon=True)
                         for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def deploy(self, placement: Placement) -> None:
        """Send a deploy or migration, after those that wait."""
        with self._news:
            self._messages.pop(placement.vm, None)
            self._deploys[placement.vm] = placement
            self._news.notify()

    def message(self, vm: int, text: str) -> None:
        """Send a message when no deploy waits; a newer one of the same VM replaces it."""
        with self._news:
            self._messages[vm] = Message(vm, text)
            self._news.notify()

    def cancel(self, vm: int) -> bool:
        """Call the VM's deploy or migration back; False when it is sent already, or there is none."""
        with self._news:
            self._messages.pop(vm, None)
            return self._deploys.pop(vm, None) is not None

    def close(self, wait: float = 0.0) -> None:
        """Send nothing more; wait at most WAIT seconds for calls under way."""
        with self._news:
            self._closed = True
            self._deploys.clear()
            self._messages.clear()
            self._news.notify_all()
        for thread in self._threads if wait else ():
            thread.join(wait / len(self._threads))

    def _next(self) -> Placement | Message | None:
        """Wait for a task; None when closed.  One VM's tasks go one after the other."""
        with self._news:
            while not self._closed:
                task = self._pick(self._deploys) or self._pick(self._messages)
                if task:
                    self._busy.add(task.vm)
                    return task
                self._news.wait()
            return None

    def _pick(self, tasks: OrderedDict[int, Task]) -> Task | None:
        vm = next((vm for vm in tasks if vm not in self._busy), None)
        return None if vm is None else tasks.pop(vm)

    def _work(self, client: Client) -> None:
        while (task := self._next()) is not None:
            outcome = Outcome(self, task, _error(client, task))
            with self._news:
                self._busy.discard(task.vm)
                self._news.notify()
            self._tell(outcome)
        client.close()


def _error(client: Client, task: Placement | Message) -> Exception | None:
    """Send; whatever goes wrong is told, for the loop must learn that the VM still waits."""
    try:
        send(client, task)
    except Exception as error:
        return error
    return None


def send(client: Client, task: Placement | Message) -> None:
    """One call to oned; raises ClientError when it is refused or oned is away."""
    if isinstance(task, Placement) and task.source >= 0:
        client.call("one.vm.migrate", task.vm, task.host, task.live, True, -1, SAVE, MARKED, timeout=MIGRATE_SECONDS)
    elif isinstance(task, Placement):
        client.call("one.vm.deploy", task.vm, task.host, True, task.store, "", False, WAITS)
    else:
        change = template.to_xml(template.Tree([("SCHED_MESSAGE", task.text)]))
        client.call("one.vm.update", task.vm, change, APPEND)
