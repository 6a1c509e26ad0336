"""The HTTP side: an ASGI application that takes POSTs on /RPC2, with limits."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from onecore.errors import NotReady
from onecore.request.dispatch import Dispatch
from onecore.request.repeats import HEADER
from onecore.request.stream import Stream
from onecore.wire import xmlrpc

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
LARGE = 1_000_000
CHUNK = 262_144
PATIENCE = 60.0
"""Seconds that a client may take to take a chunk of an answer."""
_TYPE = (b"content-type", b"text/xml")


class Application:
    """The ASGI application."""

    def __init__(self, dispatch: Dispatch, max_request: int) -> None:
        self._dispatch, self._limit = dispatch, max_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET" and scope["path"] == "/events":
            if not self._dispatch.ready:
                await _plain(send, 503, b"not ready yet\n")
                return
            await Stream(self._dispatch.core, self._dispatch.limits, scope).serve(receive, send)
            return
        if scope["method"] != "POST" or scope["path"] not in ("/RPC2", "/RPC2/", "/"):
            await _plain(send, 405 if scope["path"] in ("/RPC2", "/") else 404, b"POST an XML-RPC call to /RPC2\n")
            return
        message = await receive()
        data = message.get("body", b"")
        if message.get("more_body"):
            whole = await self._rest(receive, data)
            if whole is None:
                await _small(send, self._too_large(), close=True)
                return
            data = whole
        elif len(data) > self._limit:
            await _small(send, self._too_large(), close=True)
            return
        client = scope.get("client")
        try:
            fragments = await self._dispatch.answer(data, client[0] if client else "", _key(scope))
        except NotReady:
            await send({"type": "http.response.start", "status": 503,
                        "headers": [(b"retry-after", b"1"), (b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        size = sum(map(len, fragments))
        if size <= LARGE:
            await _small(send, b"".join(fragments))
        else:
            async with self._dispatch.limits.large(fragments.caller):
                await _stream(send, fragments, size)

    def _too_large(self) -> bytes:
        return xmlrpc.fault(-503, f"The call is larger than the limit of {self._limit} bytes")

    async def _rest(self, receive: Receive, first: bytes) -> bytes | None:
        """The whole body; None when it is over the limit (what follows is read and dropped, within reason)."""
        parts, size, dropped = [first], len(first), False
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            dropped = dropped or size > self._limit
            if dropped:
                parts.clear()
                if size > 16 * self._limit:
                    return None
            else:
                parts.append(part)
            if not message.get("more_body"):
                return None if dropped else b"".join(parts)


def _key(scope: Scope) -> str:
    """The request's idempotency key, "" when it has none."""
    for name, value in scope["headers"]:
        if name == HEADER:
            return str(value.decode("latin-1"))
    return ""


async def _small(send: Send, body: bytes, close: bool = False) -> None:
    headers = [_TYPE, (b"content-length", b"%d" % len(body))]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, fragments: list[bytes], size: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [_TYPE, (b"content-length", b"%d" % size)]})
    chunk: list[bytes] = []
    waiting = 0
    for fragment in fragments:
        chunk.append(fragment)
        waiting += len(fragment)
        if waiting >= CHUNK:
            try:
                await asyncio.wait_for(
                    send({"type": "http.response.body", "body": b"".join(chunk), "more_body": True}), PATIENCE)
            except TimeoutError:  # it does not read: its connection is closed, its place is for others
                return
            chunk, waiting = [], 0
    await send({"type": "http.response.body", "body": b"".join(chunk)})


async def _plain(send: Send, status: int, text: bytes) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)),
                            (b"allow", b"POST")]})
    await send({"type": "http.response.body", "body": text})
