"""The client against a server that behaves in every way servers do: one answer a call, and never a call twice."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_ground import soon

from onecore.wire import client as wire
from onecore.wire import xmlrpc
from onecore.wire.client import Client, ClientError

OK = xmlrpc.success(7)


def plain(body: bytes = OK, status: str = "200 OK", more: str = "", version: str = "HTTP/1.1") -> bytes:
    """An answer with its length."""
    return f"{version} {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """An answer in chunks."""
    return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in parts) + end)


class Server:
    """Answers each call with the next of ANSWERS; None or an empty one closes the connection instead."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes, bool]] = []
        self.calls: list[bytes] = []
        self.connections = 0
        self.closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/RPC2"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def will(self, *answers: bytes, close: bool = False) -> None:
        """Answer so; CLOSE: and close the connection after the last."""
        self.answers += [(a, close and a is answers[-1]) for a in answers]

    def _run(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as stream:
                while self._one(connection, stream.readline, stream.read):
                    pass
            self.closed.set()

    def _one(self, connection: socket.socket, line: Callable[[], bytes], read: Callable[[int], bytes]) -> bool:
        size = 0
        while (header := line()) not in (b"", b"\r\n"):
            if header.lower().startswith(b"content-length:"):
                size = int(header.split(b":")[1])
        if not header:
            return False
        self.calls.append(read(size))
        answer, close = self.answers.pop(0)
        connection.sendall(answer)
        return not close

    def stop(self) -> None:
        """Listen no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server."""
    made = Server()
    yield made
    made.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of it."""
    made = Client(server.url, "me:secret", timeout=60)
    yield made
    made.close()


def test_one_connection_serves_many_calls(server: Server, client: Client) -> None:
    server.will(plain(), plain(xmlrpc.success("text")), chunked(OK[:9], OK[9:]), plain())
    assert client.number("one.vm.allocate", "CPU=1", False) == 7
    assert client.text("one.vm.info", 7) == "text"
    assert [client.number("m"), client.number("m")] == [7, 7]
    assert server.connections == 1
    assert xmlrpc.decode_call(server.calls[0]) == ("one.vm.allocate", ["me:secret", "CPU=1", False])


def test_a_server_that_closed_meanwhile_is_called_anew(server: Server, client: Client) -> None:
    server.will(plain(), close=True)
    server.will(plain())
    client.number("first")
    assert server.closed.wait(60)
    time.sleep(0.01)
    assert client.number("second") == 7
    assert server.connections == 2 and len(server.calls) == 2


@pytest.mark.parametrize("answer", [plain(more="Connection: close\r\n"), plain(version="HTTP/1.0"),
                                    b"HTTP/1.0 200 OK\r\n\r\n" + OK, b"HTTP/1.1 200 OK\r\n\r\n" + OK])
def test_an_answer_that_ends_its_connection(server: Server, client: Client, answer: bytes) -> None:
    server.will(answer, close=True)
    server.will(plain())
    assert [client.number("m"), client.number("m")] == [7, 7]
    assert server.connections == 2


def test_http_1_0_may_keep_its_connection(server: Server, client: Client) -> None:
    server.will(plain(version="HTTP/1.0", more="Connection: keep-alive\r\n"), plain())
    assert [client.number("m"), client.number("m"), server.connections] == [7, 7, 1]


def test_continue_comes_before_the_answer(server: Server, client: Client) -> None:
    server.will(b"HTTP/1.1 100 Continue\r\n\r\n" + plain())
    assert client.number("m") == 7


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1", plain()[:-5], chunked(OK, end=b""), chunked(OK[:20], end=b"2")[:-8], chunked(OK, end=b"zz\r\n"),
    chunked(OK[:9], end=b"-1\r\n"), b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    plain()[:25]])
def test_a_broken_answer_is_an_error_and_the_call_is_not_sent_again(server: Server, client: Client,
                                                                   answer: bytes) -> None:
    server.will(answer, close=True)
    server.will(plain())
    with pytest.raises(ClientError, match="cannot reach") as caught:
        client.call("one.vm.allocate")
    assert caught.value.code == 0 and len(server.calls) == 1
    assert client.number("m") == 7


@pytest.mark.parametrize("body", [b"", b"<html/>", OK[:-20], xmlrpc.fault(-501, "type"), xmlrpc.encode_call("m", [1])])
def test_an_answer_that_is_no_answer(server: Server, client: Client, body: bytes) -> None:
    server.will(plain(body), plain())
    with pytest.raises(ClientError) as caught:
        client.call("m")
    assert caught.value.code == 0x1000
    assert client.number("m") == 7 and server.connections == 1


def test_not_ready_says_when_to_try_again(server: Server, client: Client) -> None:
    server.will(plain(b"", "503 Service Unavailable", "Retry-After: 3\r\n"), plain(b"no <b>", "404 Not Found"))
    with pytest.raises(ClientError, match=r"503.* 3 s"):
        client.call("m")
    with pytest.raises(ClientError, match="404: no <b>"):
        client.call("m")
    assert len(server.calls) == 2


def test_a_failure_has_the_servers_words_code_and_object(server: Server, client: Client) -> None:
    server.will(plain(xmlrpc.failure("[one.vm.info] No", 0x400, 9)))
    with pytest.raises(ClientError, match=r"^\[one.vm.info\] No$") as caught:
        client.call("one.vm.info", 9)
    assert (caught.value.code, caught.value.oid) == (0x400, 9)


def test_a_silent_server_is_left_after_the_timeout(server: Server, client: Client) -> None:
    server.will(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(ClientError, match=r"within 0.05 s"):
        client.call("m", timeout=0.05)
    soon(lambda: server.calls)
    assert len(server.calls) == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ClientError, match=f"cannot reach http://127.0.0.1:{port}"):
        Client(f"http://127.0.0.1:{port}/RPC2", "a:b").call("m")


@pytest.mark.parametrize("url", ["", "localhost:2633", "ftp://x/", "http://"])
def test_an_endpoint_is_a_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_XMLRPC", url or "nonsense")
    with pytest.raises(ClientError, match="endpoint"):
        Client(None, "a:b")


def test_the_environment_names_endpoint_and_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE_XMLRPC", "ONE_AUTH", "ONE_XMLRPC_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wire.endpoint() == wire.DEFAULT_ENDPOINT
    with pytest.raises(ClientError, match=r"one_auth.*set ONE_AUTH"):
        wire.session()
    (tmp_path / ".one").mkdir()
    (tmp_path / ".one/one_auth").write_text("stored:secret\n")
    (tmp_path / ".one/one_endpoint").write_text("http://stored:1/RPC2\n")
    assert (wire.session(), wire.endpoint()) == ("stored:secret", "http://stored:1/RPC2")
    other = tmp_path / "auth"
    other.write_text("env:with:colons\n")
    monkeypatch.setenv("ONE_AUTH", str(other))
    monkeypatch.setenv("ONE_XMLRPC", "http://env/RPC2")
    monkeypatch.setenv("ONE_XMLRPC_TIMEOUT", "2.5")
    made = Client()
    assert (made.secret, made.url, made.timeout) == ("env:with:colons", "http://env/RPC2", 2.5)
    assert (wire.session("u", "p"), wire.endpoint("http://given/")) == ("u:p", "http://given/")
    other.write_text("no colon")
    with pytest.raises(ClientError, match="user:password"):
        wire.session()
