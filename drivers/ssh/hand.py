"""The command hand of a host as its driver sees it: questions and their answers (drivers/hand/serve.py)."""
from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

from drivers.base import DriverError, Program, Temporary
from drivers.bounds import refusal
from drivers.hand.serve import MODULES
from drivers.ssh.stream import Stream
from onecore.wire.messages import Doc

PROGRAM = Program("drivers.hand.serve:serve", MODULES)


class Question:
    """A request under way; whoever waits can be stirred by others."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.answered = False
        self._changed = threading.Event()
        self._value: Any = None
        self._data = b""
        self._error: DriverError | None = None

    def wait(self, seconds: float | None) -> bool:
        """Wait at most SECONDS for the answer or a stir; whether there was one."""
        return self._changed.wait(seconds)

    def stir(self) -> None:
        """Wake who waits, without an answer."""
        self._changed.set()

    def settle(self) -> None:
        """Forget stirs: only the answer counts from now on."""
        if not self.answered:
            self._changed.clear()
            if self.answered:
                self._changed.set()

    def answer(self, value: Any, data: bytes, error: DriverError | None) -> None:
        """The answer; later ones are ignored."""
        if not self.answered:
            self._value, self._data, self._error = value, data, error
            self.answered = True
            self._changed.set()

    @property
    def last_words(self) -> str:
        """What a command that was ended had said on its standard error."""
        return str(self._value.get("err", "")) if isinstance(self._value, dict) else ""

    def result(self) -> tuple[Any, bytes]:
        """What was answered; raises what was refused."""
        if self._error is not None:
            raise self._error
        return self._value, self._data


class Hand:
    """Questions to one hand, from many threads."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._name = name
        self._now = now
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._open: dict[int, Question] = {}
        self._stream: Stream | None = None
        self._lost: DriverError | None = None
        self.hello: Question = Question(0)

    def attach(self, stream: Stream) -> None:
        """Speak through STREAM."""
        self._stream = stream

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._open)

    def ask(self, document: Doc, data: bytes = b"") -> Question:
        """Put a question; Temporary when the hand is gone."""
        question = Question(next(self._numbers))
        with self._lock:
            if self._lost is not None or self._stream is None:
                raise self._lost or Temporary(f"{self._name}: not connected")
            self._open[question.number] = question
        try:
            self._stream.send({"id": question.number, **document}, data)
        except BaseException:
            with self._lock:
                self._open.pop(question.number, None)
            raise
        return question

    def cancel(self, question: Question) -> None:
        """Tell the hand to end QUESTION, which is answered all the same."""
        self._say({"cancel": question.number})

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._say({"ping": 0})

    def hear(self, document: Doc | None, data: bytes) -> None:
        """What the hand says."""
        if document is None:
            self.lose(Temporary(f"{self._name}: the connection was lost"))
        elif "hello" in document:
            self.hello.answer(document["hello"], b"", None)
        elif "id" in document:
            with self._lock:
                question = self._open.pop(document["id"], None)
            if question is not None:
                question.answer(document.get("ok"), data, _refused(document))

    def lose(self, error: DriverError) -> None:
        """The hand is gone: ERROR answers every question."""
        with self._lock:
            self._lost = self._lost or error
            questions = [*self._open.values(), self.hello]
            self._open.clear()
        for question in questions:
            question.answer(None, b"", self._lost)

    def _say(self, document: Doc) -> None:
        try:
            if self._stream is not None and self._lost is None:
                self._stream.send(document)
        except Temporary:
            return


def _refused(document: Doc) -> DriverError | None:
    return refusal(document["error"], document["temporary"]) if "error" in document else None
