"""A watch: a probe at work on a host, started again whenever it ends or falls silent; no thread of its own."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from drivers.base import Channel, DriverError
from drivers.hand.probe import LIBVIRT_SECONDS, SPACE_SECONDS
from drivers.im.sample import Samples
from drivers.im.starts import Starts
from onecore.wire.messages import Doc, Sample

_TICK = 2.0
_PERIODS = 3
"""So many without a word and the probe is given up."""
_MARGIN = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 4.0
"""Seconds from a failed start to the next; the circuit breaker of the host may refuse that at once."""
Hear = Callable[[Doc | None], None]
Begin = Callable[[Hear], Channel]


class Watch:
    """Keeps a probe at work on one host, and tells the core what it says, or why there is nothing to tell.

    `begin` starts a probe; it may wait for the host, and runs in a thread of `starts`.
    """

    def __init__(self, begin: Begin, samples: Samples, emit: Callable[[Sample], None], period: float,
                 starts: Starts) -> None:
        self._begin = begin
        self._samples = samples
        self._emit = emit
        self._period = period
        self._limit = max(_PERIODS * period, period + LIBVIRT_SECONDS + SPACE_SECONDS + _MARGIN)
        self._starts = starts
        self._lock = threading.Lock()
        self._closed = False
        self._run = 0
        """The number of the present probe; what an older one says is not heard."""
        self._busy = False
        self._channel: Channel | None = None
        self._since = self._heard = self._due = 0.0
        self._failures = 0
        self._told = float("-inf")

    def tick(self) -> float:
        """To be called again and again: does what is due; seconds until the next call."""
        now = time.monotonic()
        if not self._busy:
            if now >= self._due:
                self._start_soon()
        elif self._channel is not None and now - self._heard > self._limit:
            self._end(self._run, f"nothing was heard from the probe on the host for {self._limit:.0f} s")
        return min(_TICK, self._period)

    def close(self) -> None:
        """End the probe; nothing more is told."""
        with self._lock:
            self._closed = True
            self._run += 1
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _start_soon(self) -> None:
        with self._lock:
            if self._closed or self._busy:
                return
            self._busy = True
            self._run += 1
            run = self._run
        self._starts.put(self._failures, lambda: self._start(run))

    def _start(self, run: int) -> None:
        if run != self._run:
            return
        try:
            channel = self._begin(lambda document: self._hear(run, document))
        except DriverError as error:
            return self._end(run, str(error))
        except Exception as error:
            return self._end(run, f"internal error in im/kvm: {type(error).__name__}: {error}")
        with self._lock:
            wanted = run == self._run
            if wanted:
                self._channel = channel
                self._since = self._heard = time.monotonic()
        if not wanted:
            channel.close()

    def _hear(self, run: int, document: Doc | None) -> None:
        if run != self._run:
            return
        if document is None:
            return self._end(run, "the probe on the host ended", self._worked_long())
        self._heard = time.monotonic()
        sample = self._samples.heard(document)
        if not sample.error:
            self._failures = 0
        self._emit(sample)

    def _worked_long(self) -> bool:
        """Whether the probe did its work for a while: then its end is no failure yet, as another may do it on."""
        return self._channel is not None and self._heard - self._since > 2 * self._period

    def _end(self, run: int, why: str, excused: bool = False) -> None:
        """The probe ended, or could not be started; EXCUSED: the next one is tried at once, before anything is told."""
        with self._lock:
            if run != self._run:
                return
            self._run += 1
            self._busy = False
            channel, self._channel = self._channel, None
            self._failures += not excused
            self._due = time.monotonic() + (0.0 if excused else self._pause())
        if channel is not None:
            channel.close()
        if excused:
            self._start_soon()
        else:
            self._tell(why)

    def _pause(self) -> float:
        return min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 8), _LONGEST_PAUSE) * random.uniform(0.75, 1.25)

    def _tell(self, why: str) -> None:
        """The first failure at once, others once a period."""
        now = time.monotonic()
        if self._failures == 1 or now - self._told >= self._period:
            self._told = now
            self._emit(self._samples.failed(why))
