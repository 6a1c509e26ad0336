"""Which SCHED_MESSAGEs to write, and when: only texts that changed, not too often.  Pure; the time is handed in."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Note:
    """What one VM should say, what it says, and when it may be told again."""

    wanted: str
    written: str
    at: float
    pause: float


class Messages:
    """The texts of all VMs.  PAUSE seconds between two of one VM, doubling up to LONGEST; RATE of all in a second."""

    def __init__(self, pause: float, longest: float, rate: float) -> None:
        self.pause, self.longest, self.rate = pause, longest, rate
        self._notes: dict[int, _Note] = {}
        self._unsaid: dict[int, None] = {}
        self._budget, self._filled = rate, 0.0

    def want(self, vm: int, text: str, shown: str, now: float) -> bool:
        """The VM should say TEXT; it says SHOWN when we never wrote.  True when the text is a new one."""
        note = self._notes.setdefault(vm, _Note(shown, shown, now, self.pause))
        if note.wanted == text:
            return False
        note.wanted = text
        if text == note.written:
            self._unsaid.pop(vm, None)
        else:
            self._unsaid[vm] = None
        return True

    def forget(self, vm: int) -> None:
        """The VM does not wait any more."""
        if self._notes.pop(vm, None):
            self._unsaid.pop(vm, None)

    def due(self, now: float) -> list[tuple[int, str]]:
        """(VM, text) to write now; they count as written."""
        if not self._unsaid:
            return []
        self._budget = min(self.rate, self._budget + (now - self._filled) * self.rate)
        self._filled = now
        chosen = [vm for vm in self._unsaid if self._notes[vm].at <= now][:int(self._budget)]
        self._budget -= len(chosen)
        return [(vm, self._say(vm, now)) for vm in chosen]

    def next_due(self, now: float) -> float:
        """When the next text may be written; infinite when there is none."""
        earliest = min((self._notes[vm].at for vm in self._unsaid), default=float("inf"))
        return earliest if self._budget >= 1 else max(earliest, now + 1 / self.rate)

    def _say(self, vm: int, now: float) -> str:
        del self._unsaid[vm]
        note = self._notes[vm]
        note.written, note.at = note.wanted, now + note.pause
        note.pause = min(self.longest, max(note.pause, 0.1) * 2)
        return note.wanted
