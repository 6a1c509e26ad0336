"""What a probe says, as a sample for the core: with the hypervisor that is believed, and how wrong the clock is."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable

from drivers.base import DriverError
from onecore.wire.messages import Doc, Sample

_LOOKS = 3
_OLDEST = 60.0
"""Seconds that a sample may be old at most: what seems older is of a host whose clock was set back."""


class Skew:
    """Seconds that a host's clock is ahead of ours, from when it says that it spoke and when we heard it.

    The way takes time, which looks like a clock behind ours: the quickest of the last few is right.
    """

    def __init__(self) -> None:
        self._found: deque[float] = deque(maxlen=_LOOKS)

    def seconds(self, said: float, heard: float) -> float:
        """The skew, after one more document; both in seconds since 1970."""
        self._found.append(said - heard)
        return round(max(self._found), 3) + 0.0


class Samples:
    """The samples of one host from what its probe says."""

    def __init__(self, hid: int, hypervisor: Callable[[list[str]], str], clock: Callable[[], float]) -> None:
        self._hid = hid
        self._hypervisor = hypervisor
        self._clock = clock
        self._skew = Skew()

    def heard(self, document: Doc) -> Sample:
        """The sample in DOCUMENT, of the time when it was taken: what waited on its way tells of a past.

        A VM that started meanwhile is not in its roster, and would be taken for ended.
        """
        now = self._clock()
        skew = self._skew.seconds(float(document["time"]), now)
        if document.get("error"):
            return self.failed(document["error"])
        try:
            kind = self._hypervisor(document["running"])
        except DriverError as error:
            return self.failed(str(error))
        taken = max(min(float(document["time"]) - skew, now), now - _OLDEST)
        return Sample(self._hid, int(taken), host={"hypervisor": kind, "clock_skew": skew, **document["host"]},
                      vms=document["vms"], datastores=document["datastores"], roster=bool(document["roster"]))

    def failed(self, why: str) -> Sample:
        """A sample that says that there is none."""
        return Sample(self._hid, int(self._clock()), error=why)
