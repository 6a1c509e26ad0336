"""GET /events: the change log as Server-Sent Events, as long as the client listens and its session holds."""
from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from onecore.auth.caller import Caller
from onecore.errors import OneError
from onecore.kinds.events import document, visible, wait
from onecore.lifecycle.core import Core
from onecore.pool.store import Event
from onecore.request.authenticate import authenticate
from onecore.request.limits import Limits

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
BEAT, CHECK, PATIENCE = 15.0, 60.0, 30.0
"""Seconds between two signs of life, between two looks at the session, and that a client may take nothing."""
FILTERS = ("kind", "id", "what")


class Refused(Exception):
    """The request cannot be answered: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Stream:
    """One client that listens."""

    def __init__(self, core: Core, limits: Limits, scope: Scope) -> None:
        self._core, self._limits = core, limits
        self._client = scope["client"][0] if scope.get("client") else ""
        self._headers: dict[bytes, str] = {name: value.decode("latin-1") for name, value in scope["headers"]}
        self._query = {key: values[-1] for key, values in parse_qs(scope.get("query_string", b"").decode()).items()}

    async def serve(self, receive: Receive, send: Send) -> None:
        """Answer the request, until the client is gone."""
        try:
            caller = await self._caller()
            since = self._since()
            unknown = set(self._query) - {*FILTERS, "since"}
            if unknown:
                raise Refused(400, f"unknown parameter {min(unknown)}; there are {', '.join(FILTERS)} and since")
            with self._limits.call(caller):
                await self._tell(caller, since, receive, send)
        except (Refused, OneError) as error:
            status = error.status if isinstance(error, Refused) else 401 if error.code == 0x0100 else 429
            await _plain(send, status, f"{error}\n" if isinstance(error, Refused) else f"{error.text}\n")

    async def _caller(self) -> Caller:
        session = self._session()
        return self._core.sessions.find(session) or await authenticate(self._core, session, self._client)

    def _session(self) -> str:
        plain = self._headers.get(b"x-onecore-session", "")
        kind, _, value = self._headers.get(b"authorization", "").partition(" ")
        if plain or kind.lower() != "basic":
            return plain
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""

    def _since(self) -> int:
        given = self._headers.get(b"last-event-id") or self._query.get("since", "")
        if given and not (given.isascii() and given.isdigit() and len(given) < 19):
            raise Refused(400, f"since (or Last-Event-ID) must be a sequence number, not {given[:40]!r}")
        return int(given) if given else self._core.changelog.last

    async def _tell(self, caller: Caller, since: int, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]})
        gone = asyncio.ensure_future(_gone(receive))
        try:
            async for text in self._texts(caller, since):
                if gone.done():
                    return
                await asyncio.wait_for(send({"type": "http.response.body", "body": text.encode(), "more_body": True}),
                                       PATIENCE)
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return  # it does not read: its connection is closed
        finally:
            gone.cancel()

    async def _texts(self, caller: Caller, since: int) -> AsyncIterator[str]:
        """What is sent, one piece after the other; ends with the session, or the core."""
        core, log, checked = self._core, self._core.changelog, self._core.clock.monotonic()
        yield f"retry: 2000\n: onecore, from {since}\n\n"
        while not log.closing:
            if log.too_old(since):
                since = log.last
                yield f"id: {since}\nevent: reset\ndata: {{}}\n\n"
            found = log.after(since) if log.in_memory(since) else await asyncio.to_thread(log.read, since)
            if found:
                since = found[-1].seq
                yield self._written([e for e in found if self._wanted(e) and visible(core, caller, e)])
                continue
            await wait(core, BEAT)
            if log.last <= since:
                yield ": alive\n\n"
            if core.clock.monotonic() - checked > CHECK:
                checked = core.clock.monotonic()
                try:
                    caller = await self._caller()
                except OneError:
                    yield "event: end\ndata: {\"why\": \"the session is over\"}\n\n"
                    return

    def _wanted(self, event: Event) -> bool:
        has = {"kind": event.kind, "id": str(event.oid), "what": event.what}
        return all(has[key] in self._query[key].split(",") for key in FILTERS if key in self._query)

    @staticmethod
    def _written(shown: list[Event]) -> str:
        """The last event of a transaction carries its number, so that one that broke off there is told whole again."""
        out = []
        for place, event in enumerate(shown):
            last = place + 1 == len(shown) or shown[place + 1].seq != event.seq
            mark = event.seq if last else event.seq - 1
            out.append(f"id: {mark}\nevent: {event.kind}.{event.what}\n"
                       f"data: {json.dumps(document(event), separators=(',', ':'))}\n\n")
        return "".join(out) or ": \n\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _plain(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="onecore"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
