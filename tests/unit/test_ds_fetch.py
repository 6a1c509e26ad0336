"""Images from a web server on the loopback interface."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from storage_ground import Ground

from drivers.base import DriverError, Permanent, Temporary
from drivers.ds.fs import ACTIONS

CONTENT = b"from the web".ljust(3 << 20, b"w")


class Web(BaseHTTPRequestHandler):
    """Serves CONTENT, and things that go wrong."""

    def do_GET(self) -> None:
        if self.path == "/image":
            self.answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)
        elif self.path == "/unsized":
            self.answer(200, {}, CONTENT)
        elif self.path == "/moved":
            self.answer(302, {"Location": "/image"})
        elif self.path == "/file":
            self.answer(302, {"Location": "file:///etc/passwd"})
        elif self.path == "/short":
            self.answer(200, {"Content-Length": str(len(CONTENT) + 9)}, CONTENT)
        elif self.path == "/huge":
            self.answer(200, {"Content-Length": str(1 << 60)}, b"x")
        else:
            self.answer(int(self.path[1:]), {})

    def answer(self, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing about clients that hang up."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def register(ground: Ground, url: str) -> bytes:
    made = ACTIONS["register"](ground.context(), ground.image_args(ground.image(url)))
    return Path(made["source"]).read_bytes()


@pytest.mark.parametrize("page", ["image", "unsized", "moved"])
def test_an_image_comes_whole(ground: Ground, url: str, page: str) -> None:
    assert register(ground, f"{url}/{page}") == CONTENT
    assert ACTIONS["stat"](ground.context(), ground.image_args(ground.image(f"{url}/{page}"))) == \
        {"format": "raw", "size_mb": 3}


@pytest.mark.parametrize(("page", "kind", "said"), [
    ("404", Permanent, "answers 404"), ("403", Permanent, "answers 403"), ("503", Temporary, "answers 503"),
    ("429", Temporary, "answers 429"), ("short", Temporary, "too early"), ("huge", Permanent, "is full"),
    ("file", DriverError, "file"),
])
def test_what_goes_wrong_is_said_and_leaves_nothing(ground: Ground, url: str, page: str, kind: type[DriverError],
                                                    said: str) -> None:
    with pytest.raises(kind, match=f"{url}/{page}") as caught:
        register(ground, f"{url}/{page}")
    assert said in str(caught.value) and ground.left() == []


def test_nobody_answers(ground: Ground) -> None:
    with pytest.raises(Temporary, match="http://127.0.0.1:1/x"):
        register(ground, "http://127.0.0.1:1/x")
