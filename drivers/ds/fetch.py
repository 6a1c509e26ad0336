"""Where an image's bytes come from: a file of the front-end or a web server, opened the same way."""
from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from drivers.base import Permanent, Temporary
from drivers.ds.paths import opened
from onecore.wire.messages import Doc

_PATIENCE = 30.0
_AGENT = "onecore"


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most SIZE bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """An open source of an image: its stream, and its length in bytes or -1."""

    stream: Readable
    length: int


@contextmanager
def origin(path: str, home: Path, attrs: Doc) -> Iterator[Origin]:
    """Open PATH, a file or an http(s) URL; raises Permanent or Temporary, naming it."""
    if path.lower().startswith(("http://", "https://")):
        with _get(path) as answer:
            yield Origin(_Whole(path, answer), _length(answer))
    else:
        with opened(path.removeprefix("file://"), home, attrs) as file:
            yield Origin(file, os.fstat(file.fileno()).st_size)


class _Whole:
    """A web server's answer that fails when it ends early or the line goes dead."""

    def __init__(self, url: str, answer: http.client.HTTPResponse) -> None:
        self._url = url
        self._answer = answer
        self._left = _length(answer)

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._answer.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise Temporary(f"{self._url}: the download broke off: {error}") from None
        if self._left >= 0:
            self._left -= len(data)
            if not data and self._left > 0:
                raise Temporary(f"{self._url}: the download ended {self._left} bytes too early")
        return data


def _length(answer: IO[bytes] | http.client.HTTPResponse) -> int:
    text = answer.headers.get("Content-Length", "") if isinstance(answer, http.client.HTTPResponse) else ""
    return int(text) if text.isascii() and text.isdigit() else -1


@contextmanager
def _get(url: str) -> Iterator[http.client.HTTPResponse]:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
        answer = _web().open(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        kind = Temporary if error.code >= 500 or error.code == 429 else Permanent
        raise kind(f"{url}: the server answers {error.code} {error.reason}") from None
    except (ValueError, http.client.InvalidURL) as error:
        raise Permanent(f"{url}: {error}") from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise Temporary(f"{url}: {getattr(error, 'reason', error)}") from None
    with answer:
        yield answer


def _web() -> urllib.request.OpenerDirector:
    """http and https only: no redirect leads to a file or to another protocol."""
    web = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
                    urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPRedirectHandler(),
                    urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler()):
        web.add_handler(handler)
    return web
