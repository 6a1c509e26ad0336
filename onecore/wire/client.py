"""An XML-RPC client for /RPC2: what the command line, the match-maker and the tests speak with.

One kept connection, TCP_NODELAY, `ONE_XMLRPC` and `ONE_AUTH` from the environment as OpenNebula's clients read them.
"""
from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from onecore.wire import xmlrpc
from onecore.wire.http import Connection

DEFAULT_ENDPOINT = "http://localhost:2633/RPC2"


class ClientError(Exception):
    """The call did not succeed.  `code` is the API error code, 0 when no server answered."""

    def __init__(self, text: str, code: int = 0, oid: int = -1) -> None:
        super().__init__(text)
        self.code, self.oid = code, oid


def endpoint(given: str | None = None) -> str:
    """The URL to call: GIVEN, $ONE_XMLRPC, ~/.one/one_endpoint, or the default."""
    if given or os.environ.get("ONE_XMLRPC"):
        return given or os.environ["ONE_XMLRPC"]
    stored = Path.home() / ".one/one_endpoint"
    return stored.read_text().strip() if stored.is_file() else DEFAULT_ENDPOINT


def session(user: str | None = None, password: str | None = None) -> str:
    """The session string user:secret: given, or from the file that $ONE_AUTH names, or ~/.one/one_auth."""
    if user is not None and password is not None:
        return f"{user}:{password}"
    path = Path(os.environ.get("ONE_AUTH") or Path.home() / ".one/one_auth")
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ClientError(f"no credentials: cannot read {path} ({error.strerror}); set ONE_AUTH to a file that "
                          "holds user:password") from None
    if ":" not in text:
        raise ClientError(f"{path} does not hold user:password")
    return text


class Client:
    """Calls methods with a session; not for use by several threads at once."""

    def __init__(self, url: str | None = None, secret: str | None = None, timeout: float | None = None) -> None:
        self.url = endpoint(url)
        self.secret = session() if secret is None else secret
        env = os.environ.get("ONE_XMLRPC_TIMEOUT")
        self.timeout = timeout if timeout is not None else float(env) if env else 60.0
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"endpoint {self.url!r} is not an http or https URL")
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._path, self._tls = parts.path or "/RPC2", parts.scheme == "https"
        self._connection: Connection | None = None

    def call(self, method: str, *arguments: object, timeout: float | None = None) -> xmlrpc.Argument:
        """The value of a successful call; raises ClientError with the server's text and code."""
        try:
            value = xmlrpc.decode_answer(self._post(xmlrpc.encode_call(method, (self.secret, *arguments)), timeout))
        except (xmlrpc.Fault, xmlrpc.BadCall) as error:
            raise ClientError(str(error), 0x1000) from None
        if not isinstance(value, list) or len(value) < 3:
            raise ClientError(f"{method}: the answer is not an array of three or five", 0x1000)
        if not value[0]:
            oid = value[3] if len(value) > 3 and isinstance(value[3], int) else -1
            raise ClientError(str(value[1]), int(str(value[2])), oid)
        return value[1]

    def text(self, method: str, *arguments: object, timeout: float | None = None) -> str:
        """As call, for methods whose value is a text."""
        return str(self.call(method, *arguments, timeout=timeout))

    def number(self, method: str, *arguments: object) -> int:
        """As call, for methods whose value is an id."""
        return int(str(self.call(method, *arguments)))

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes, timeout: float | None) -> bytes:
        """Sent once only: a call that was cut off may have been done, so whoever asked decides about another try."""
        limit = timeout or self.timeout
        if self._connection is not None and self._connection.stale():
            self.close()
        try:
            return self._exchange(body, limit)
        except TimeoutError:
            self.close()
            raise ClientError(f"{self.url} did not answer within {limit:g} s") from None
        except OSError as error:
            self.close()
            raise ClientError(f"cannot reach {self.url}: {error}") from None

    def _exchange(self, body: bytes, timeout: float) -> bytes:
        if self._connection is None:
            self._connection = Connection(self._host, self._port, self._tls, timeout)
        status, headers, data = self._connection.post(self._path, body, timeout)
        if not self._connection.keep:
            self.close()
        if status == 503:
            raise ClientError(f"{self.url} is not ready (503), try again in {headers.get('retry-after', '1')} s")
        if status != 200:
            raise ClientError(f"{self.url} answered {status}: {data[:200].decode(errors='replace')}")
        return data
