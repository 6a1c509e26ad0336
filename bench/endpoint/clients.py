"""Two clients of an XML-RPC endpoint: `std` is xmlrpc.client, `lean` costs a third of its CPU beside the server."""
from __future__ import annotations

import re
import socket
import xmlrpc.client
from collections.abc import Callable
from typing import IO, Protocol, cast
from urllib.parse import urlsplit

Answer = int | str | bytes
ATTEMPTS = 3
_SHOWN = 600


class CallError(RuntimeError):
    """The server said no."""


class MethodFault(CallError):
    """The server knows no such method, or not with such arguments."""


class Call(Protocol):
    """A client: calls METHOD with the session put before the arguments; raises CallError or OSError."""

    def __call__(self, method: str, *arguments: object) -> Answer: ...


class Std:
    """xmlrpc.client with its own kept connection; text comes as str."""

    def __init__(self, endpoint: str, auth: str) -> None:
        self._proxy, self._auth = xmlrpc.client.ServerProxy(endpoint), auth

    def __call__(self, method: str, *arguments: object) -> Answer:
        """The value of the answer."""
        called = self._proxy
        for part in method.split("."):
            called = getattr(called, part)
        try:
            done, value, *_ = called(self._auth, *arguments)  # type: ignore[misc]
        except xmlrpc.client.Fault as fault:
            raise MethodFault(f"{method}: {fault.faultString}") from None
        if not done:
            raise CallError(f"{method}: {value}")
        return value  # type: ignore[no-any-return]


class Lean:
    """A raw socket: cuts the value out of the answer without an XML parser; text comes as the whole answer's bytes."""

    _DONE = re.compile(rb"<boolean>([01])</boolean>")
    _NUMBER = re.compile(rb"<(?:i4|int)>(-?\d+)</")

    def __init__(self, endpoint: str, auth: str) -> None:
        parts = urlsplit(endpoint)
        self._address, self._auth = (parts.hostname or "127.0.0.1", parts.port or 80), auth
        host = f"{self._address[0]}:{self._address[1]}"
        self._head = f"POST {parts.path or '/RPC2'} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml\r\n".encode()
        self._socket: socket.socket | None = None
        self._file: IO[bytes]

    def __call__(self, method: str, *arguments: object) -> Answer:
        """The id that was answered, else the whole answer."""
        call = (self._auth, *arguments)
        data = self.post(xmlrpc.client.dumps(call, method).encode())  # type: ignore[arg-type]
        done = self._DONE.search(data, 0, 2000)
        if not done:
            raise MethodFault(f"{method}: {data[:_SHOWN].decode(errors='replace')}")
        if done.group(1) != b"1":
            raise CallError(f"{method}: {data[:_SHOWN].decode(errors='replace')}")
        number = self._NUMBER.search(data, done.end(), done.end() + 200)
        if number and data.find(b"<string>", done.end(), done.end() + 60) < 0:
            return int(number.group(1))
        return data

    def post(self, body: bytes) -> bytes:
        """The body of the answer; a server that closes kept connections is connected to again."""
        message = self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for left in reversed(range(ATTEMPTS)):
            try:
                return self._exchange(message)
            except OSError:
                self._socket = None
                if not left:
                    raise
        raise AssertionError("the last attempt raises")

    def _exchange(self, message: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._file = cast(IO[bytes], self._socket.makefile("rb", 65536))
        self._socket.sendall(message)
        first = self._file.readline()
        if not first:
            raise ConnectionError("the server closed the connection")
        headers = self._headers()
        data = self._body(headers)
        if headers.get(b"connection") == b"close" or (first.startswith(b"HTTP/1.0") and b"connection" not in headers):
            self._socket.close()
            self._socket = None
        return data

    def _headers(self) -> dict[bytes, bytes]:
        found = {}
        while (line := self._file.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.partition(b":")
            found[name.lower()] = value.strip().lower()
        return found

    def _body(self, headers: dict[bytes, bytes]) -> bytes:
        if headers.get(b"transfer-encoding") == b"chunked":
            return b"".join(self._chunks())
        return self._file.read(int(headers.get(b"content-length", -1)))

    def _chunks(self) -> list[bytes]:
        parts = []
        while size := int(self._file.readline(), 16):
            parts.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return parts


CLIENTS: dict[str, Callable[[str, str], Call]] = {"std": Std, "lean": Lean}
