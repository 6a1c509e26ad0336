"""The threads that carry commands out, made when needed, bounded; cancels, newer attempts, stuck commands.

To change threads costs more than a quick command, so a burst is left to one thread until tick() finds it slow.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from drivers.execute import refusal
from drivers.lanes import Job, Lanes, Limits
from drivers.token import Token
from onecore.wire.messages import Cancel, Command, FrameError, Progress, Result

_SLOW = 2
_SHORT = 1.0
"""Seconds of waiting that count for nothing."""
_PATIENCE = 0.25
"""The part of its timeout that a command waits before the core, whose deadline runs, is told that it waits."""
Carry = Callable[[Command, Token], Result]


class Pool:
    """Takes commands and cancels from one thread; results leave from the pool's threads."""

    def __init__(self, carry: Carry, emit: Callable[[Result | Progress], None], warn: Callable[[Command, str], None],
                 now: Callable[[], float], limits: Limits) -> None:
        self._carry = carry
        self._emit = emit
        self._warn = warn
        self._now = now
        self._limits = limits
        self._lanes = Lanes(limits)
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}
        self._started: set[Job] = set()
        self._threads = self._idle = self._coming = self._quick = self._stuck = 0
        self._step = 1
        self._closed = False

    def submit(self, command: Command) -> None:
        """Queue COMMAND.  The same operation and attempt twice is one; a newer attempt ends the older first."""
        with self._changed:
            todo = self._enter(Job(command))
            if not self._quick and not self._coming:
                self._wake(1)
        self._settle(todo)

    def cancel(self, message: Cancel, epoch: int) -> None:
        """End a command; what is not here any more is answered at once."""
        with self._changed:
            todo = self._cancel(message, epoch)
        self._settle(todo)

    def sweep(self) -> None:
        """Give up the places of commands that are long past their deadline and do not end; tell what waits."""
        late = self._now() - self._limits.stuck_after
        with self._changed:
            waiting = [job.command for job in self._jobs.values() if not job.started and self._waited(job)]
            stuck = [job for job in self._started if not job.stuck and job.token.deadline < late]
            todo = [each for job in stuck for each in self._give_up(job)]
            self._wake(len(stuck))
        for job in stuck:
            self._warn(job.command, "does not end; its place in the lane is given to others")
        self._settle(todo)
        for command in waiting:
            self._emit(Progress(command.op, command.attempt, "waiting"))

    def _waited(self, job: Job) -> bool:
        """Whether JOB has waited for so long that the core should hear of it now."""
        now = self._now()
        if now - job.told < job.command.timeout * _PATIENCE:
            return False
        job.told = now
        return True

    @property
    def pressed(self) -> bool:
        """Whether commands wait that another thread could take: tick() is due a moment later."""
        return self._lanes.ready and (self._idle > 0 or self._room())

    def tick(self) -> None:
        """When all that is at work is slow, put more threads on what waits, twice as many each time."""
        with self._changed:
            for job in self._started:
                job.ticks += 1
                self._quick -= job.ticks == _SLOW
            if self._quick or self._coming:
                self._step = 1
            else:
                self._wake(self._step)
                self._step = min(self._step * 2, self._limits.threads)

    @property
    def busy(self) -> bool:
        """Whether any command is here that sweep() may have to look at."""
        return bool(self._jobs)

    def close(self, seconds: float) -> bool:
        """Cancel everything and wait at most SECONDS; whether all ended."""
        with self._changed:
            self._closed = True
            tokens = [job.token for job in self._started]
            self._changed.notify_all()
        for token in tokens:
            token.cancel()
        with self._changed:
            return self._changed.wait_for(lambda: not self._started, seconds)

    def _enter(self, job: Job) -> list[Result | Job]:
        old = self._jobs.get(job.command.op)
        if old is None:
            return self._queue(job)
        last = old.successor or old
        if job.command.attempt <= last.command.attempt:
            return []
        replaced = [_cancelled(old.successor.command)] if old.successor else []
        old.successor = job
        return [*replaced, *self._end(old)]

    def _queue(self, job: Job) -> list[Result | Job]:
        refused = self._lanes.add(job)
        if refused:
            return [refusal(job.command, refused, temporary=True)]
        self._jobs[job.command.op] = job
        job.told = self._now()
        return []

    def _cancel(self, message: Cancel, epoch: int) -> Sequence[Result | Job]:
        job = self._jobs.get(message.op)
        if job and job.command.attempt == message.attempt:
            return self._end(job)
        if job and job.successor and job.successor.command.attempt == message.attempt:
            waiting, job.successor = job.successor.command, None
            return [_cancelled(waiting)]
        return [Result(message.op, message.attempt, epoch, False, "not under way", cancelled=True)]

    def _end(self, job: Job) -> list[Result | Job]:
        """What ends JOB: a waiting one is out at once, a started one is told."""
        if job.started:
            return [job]
        self._lanes.remove(job)
        return [_cancelled(job.command), *self._leave(job)]

    def _leave(self, job: Job) -> list[Result | Job]:
        if self._jobs.get(job.command.op) is not job:
            return []
        del self._jobs[job.command.op]
        refused = self._queue(job.successor) if job.successor else []
        self._wake(1 if job.successor else 0)
        return refused

    def _give_up(self, job: Job) -> list[Result | Job]:
        self._stuck += 1
        self._lanes.give_up(job)
        return self._leave(job)

    def _settle(self, todo: Sequence[Result | Job]) -> None:
        """What must happen outside the lock: results leave, children are killed."""
        for each in todo:
            if isinstance(each, Result):
                self._emit(each)
            else:
                each.token.deadline = min(each.token.deadline, self._now())
                each.token.cancel()

    def _wake(self, threads: int) -> None:
        """Let up to so many more threads look for work, if there is any."""
        for _ in range(threads if self._lanes.ready and not self._closed else 0):
            if self._idle:
                self._idle -= 1
                self._coming += 1
                self._changed.notify()
            elif self._room():
                self._threads += 1
                self._coming += 1
                threading.Thread(target=self._work, daemon=True).start()

    def _room(self) -> bool:
        return self._threads - self._stuck < self._limits.threads

    def _work(self) -> None:
        with self._changed:
            self._coming -= 1
        while (job := self._next()) is not None:
            if self._now() - job.told > _SHORT:
                self._emit(Progress(job.command.op, job.command.attempt, "started"))
            self._tell(self._carry(job.command, job.token))
            self._settle(self._done(job))

    def _tell(self, result: Result) -> None:
        """A result that no frame takes, as a host may say much, is told as a failure: the thread goes on."""
        try:
            self._emit(result)
        except FrameError as error:
            self._emit(replace(result, ok=False, error=f"what came of it cannot be told: {error}", data={}))

    def _next(self) -> Job | None:
        with self._changed:
            while not self._surplus():
                job = self._lanes.take()
                if job is not None:
                    self._started.add(job)
                    self._quick += 1
                    return job
                self._idle += 1
                self._changed.wait()
                self._coming -= 1
            self._threads -= 1
            return None

    def _surplus(self) -> bool:
        return self._closed or self._threads - self._stuck > self._limits.threads

    def _done(self, job: Job) -> list[Result | Job]:
        with self._changed:
            self._started.discard(job)
            self._quick -= job.ticks < _SLOW
            self._lanes.end(job)
            self._stuck -= job.stuck
            todo = self._leave(job)
            if self._closed:
                self._changed.notify_all()
        return todo


def _cancelled(command: Command) -> Result:
    return refusal(command, "cancelled", cancelled=True)
