"""A small HTTP/1.1 POST over one kept connection: all that an XML-RPC client needs, imported in a few milliseconds.

The standard library's client takes 40 ms to import, which each command line would pay.
"""
from __future__ import annotations

import os
import select
import socket
from typing import BinaryIO

LINE = 65536


class HttpError(OSError):
    """What came back is not an HTTP answer, or the connection ended in the middle of one."""


class Connection:
    """One connection to HOST; `post` sends a body and reads the answer."""

    def __init__(self, host: str, port: int, tls: bool, timeout: float) -> None:
        plain = socket.create_connection((host, port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = _secure(plain, host) if tls else plain
        self._host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._file: BinaryIO = self.socket.makefile("rb")
        self.keep = True
        """Whether the connection may be used again."""

    def post(self, path: str, body: bytes, timeout: float) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body); raises OSError."""
        self.socket.settimeout(timeout)
        head = (f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: text/xml\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        self.socket.sendall(head + body)
        while True:
            status, version = self._status()
            headers = self._headers()
            if status != 100:
                break
        told = headers.get("connection", "").lower()
        self.keep = told != "close" and (version != "HTTP/1.0" or told == "keep-alive")
        return status, headers, self._body(headers)

    def stale(self) -> bool:
        """Whether the server closed it meanwhile (anything to read before a call is sent means that)."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self.socket.close()

    def _status(self) -> tuple[int, str]:
        line = self._file.readline(LINE)
        if not line:
            raise ConnectionResetError("the server closed the connection")
        parts = line.decode("latin-1").split(None, 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise HttpError(f"not an HTTP answer: {line[:60]!r}")
        return int(parts[1]), parts[0]

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while (line := self._file.readline(LINE)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            found[name.strip().lower()] = value.strip()
        if not line:
            raise HttpError("the answer ended amid its headers")
        return found

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(_number(headers["content-length"].encode(), 10))
        self.keep = False
        return self._file.read()

    def _chunks(self) -> bytes:
        parts = []
        while size := _number(self._file.readline(LINE).split(b";")[0].strip(), 16):
            parts.append(self._exactly(size))
            self._file.readline(LINE)
        self._headers()
        return b"".join(parts)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise HttpError(f"the answer ended after {len(data)} of {size} bytes")
        return data


def _number(text: bytes, base: int) -> int:
    """A length; none at all means that the connection ended."""
    if not text.isalnum():
        raise HttpError(f"the answer ended, or its length is no number: {text[:20]!r}")
    try:
        return int(text, base)
    except ValueError:
        raise HttpError(f"not a length: {text[:20]!r}") from None


def _secure(plain: socket.socket, host: str) -> socket.socket:
    import ssl

    context = ssl.create_default_context(cafile=os.environ.get("ONE_CERT_FILE"))
    if os.environ.get("ONE_DISABLE_SSL_VERIFY"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=host)
