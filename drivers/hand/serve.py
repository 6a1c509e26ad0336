"""The command hand: carries out requests of its driver, many at once, and leaves nothing running when it ends.

A request is {"id", "do", …} with bytes; its answer {"id", "ok"} with bytes, or {"id", "error", "temporary"}.
{"cancel": id} ends one, {"ping": n} is answered {"pong": n}.  `fences` of a request are the marks it works under.
"""
from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drivers.hand import commands, files
from drivers.hand.bell import Bell
from drivers.hand.failure import Failure
from drivers.hand.fence import MARK, Fence, end_all
from drivers.hand.token import Token
from drivers.hand.wire import Doc, Wire

MODULES = ("drivers.hand.serve", "drivers.hand.bell", "drivers.hand.commands", "drivers.hand.files",
           "drivers.hand.failure", "drivers.hand.fence", "drivers.hand.token")
_THREADS = 64
_END = 3.0
Reply = tuple[Any, bytes]


def serve(argument: Doc, wire: Wire) -> None:
    """The program: answers requests until its driver is gone, or a signal tells it to end."""
    wire.end_at(Bell(signal.SIGTERM, signal.SIGHUP, signal.SIGINT).fd)
    hand = _Hand(wire)
    try:
        wire.send({"hello": {"python": platform.python_version(), "pid": os.getpid(), "time": time.time()}})
        hand.listen()
    except (EOFError, OSError):
        pass
    finally:
        hand.end()
        os._exit(0)


class _Hand:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._threads = ThreadPoolExecutor(_THREADS)
        self._tokens: dict[int, Token] = {}
        self._fences: dict[str, Fence] = {}
        self._changed = threading.Condition()
        self._pings: list[int] = []
        self._pinged = threading.Condition()
        self._actions = {"run": self._run, "write": self._write, "read": self._read, "exists": self._exists,
                         "check": self._check, "claim": self._claim, "take": self._take, "release": self._release,
                         "end": self._end}
        threading.Thread(target=self._pong, daemon=True).start()

    def listen(self) -> None:
        """Take what comes; never blocks on an answer, so that silence is noticed."""
        while True:
            document, data = self._wire.receive()
            if "ping" in document:
                with self._pinged:
                    self._pings.append(document["ping"])
                    self._pinged.notify()
            elif "cancel" in document:
                self._cancel(document["cancel"])
            else:
                self._submit(document, data)

    def end(self) -> None:
        """End all children, those too that left their group under a fence; the locks go with the process."""
        with self._changed:
            tokens = list(self._tokens.values())
            marks = list(self._fences)
        for token in tokens:
            token.cancel()
        end_all(marks)
        with self._changed:
            self._changed.wait_for(lambda: not self._tokens, _END)
        sys.stderr.flush()

    def _submit(self, document: Doc, data: bytes) -> None:
        token = Token()
        with self._changed:
            self._tokens[document["id"]] = token
        self._threads.submit(self._work, document, data, token)

    def _cancel(self, number: int) -> None:
        with self._changed:
            token = self._tokens.get(number)
        if token is not None:
            token.cancel()

    def _pong(self) -> None:
        while True:
            with self._pinged:
                self._pinged.wait_for(lambda: bool(self._pings))
                number = self._pings.pop(0)
            try:
                self._wire.send({"pong": number})
            except OSError:
                return

    def _work(self, document: Doc, data: bytes, token: Token) -> None:
        answer, rest = self._answer(document, data, token)
        try:
            self._wire.send({"id": document["id"], **answer}, rest)
        except (OSError, ValueError):
            token.cancel()
        with self._changed:
            del self._tokens[document["id"]]
            self._changed.notify_all()

    def _answer(self, document: Doc, data: bytes, token: Token) -> tuple[Doc, bytes]:
        try:
            if token.cancelled:
                raise Failure("cancelled", temporary=True)
            value, rest = self._actions[document["do"]](document, data, token)
        except Failure as failure:
            return {"error": str(failure), "temporary": failure.temporary}, b""
        except Exception as error:
            traceback.print_exc()
            return {"error": f"internal error in the hand: {type(error).__name__}: {error}", "temporary": False}, b""
        return {"ok": value}, rest

    def _run(self, document: Doc, data: bytes, token: Token) -> Reply:
        marks = self._checked(document)
        environment = {MARK: marks[-1]} if marks else {}
        done = commands.run(document["argv"], data, environment, token)
        self._checked(document)
        return {"err": done.err, "code": done.code}, done.out

    def _write(self, document: Doc, data: bytes, token: Token) -> Reply:
        self._checked(document)
        files.write(document["path"], data, document["mode"])
        return None, b""

    def _read(self, document: Doc, data: bytes, token: Token) -> Reply:
        self._checked(document)
        return None, files.read(document["path"])

    def _exists(self, document: Doc, data: bytes, token: Token) -> Reply:
        self._checked(document)
        return files.exists(document["path"]), b""

    def _check(self, document: Doc, data: bytes, token: Token) -> Reply:
        return [[str(self._fences[mark].path), mark] for mark in self._checked(document)], b""

    def _claim(self, document: Doc, data: bytes, token: Token) -> Reply:
        fence = Fence(document["dir"], document["order"])
        with self._changed:
            self._fences[fence.mark] = fence
        return fence.mark, b""

    def _take(self, document: Doc, data: bytes, token: Token) -> Reply:
        return self._fence(document["mark"]).take(), b""

    def _release(self, document: Doc, data: bytes, token: Token) -> Reply:
        fence = self._fence(document["mark"])
        with self._changed:
            del self._fences[fence.mark]
        fence.release(document.get("clean", True))
        return None, b""

    def _end(self, document: Doc, data: bytes, token: Token) -> Reply:
        end_all([document["mark"]])
        return None, b""

    def _checked(self, document: Doc) -> list[str]:
        """The marks that the request works under, none of them superseded."""
        marks: list[str] = document.get("fences", [])
        for mark in marks:
            self._fence(mark).check()
        return marks

    def _fence(self, mark: str) -> Fence:
        fence = self._fences.get(mark)
        if fence is None:
            raise Failure("the lock on the VM was lost with the connection to its host", temporary=True)
        return fence
