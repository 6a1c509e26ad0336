"""oned under clients that are too many, too slow or too large; and while it has no state to answer from."""
from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from cloud_process import PATIENCE, Cloud, unique
from sim_ground import Ground
from uvicorn.server import ServerState

from onecore.request.protocol import Protocol, sweep
from onecore.request.server import Application
from onecore.wire import xmlrpc

CONNECTIONS = 500
VERSION = "one.system.version"


def _call(cloud: Cloud, method: str = VERSION, *arguments: object) -> bytes:
    """A call as it goes over the wire."""
    body = xmlrpc.encode_call(method, (":".join(cloud.credentials()), *arguments))
    return b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _connect(cloud: Cloud) -> socket.socket:
    return socket.create_connection(("127.0.0.1", cloud.port), timeout=PATIENCE)


def _answer(connection: socket.socket) -> bytes:
    """One whole HTTP answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < size:
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    assert data, "the connection was closed"
    return data


def test_five_hundred_connections(cloud: Cloud) -> None:
    """All are answered, twice each on the same connection; one more is not kept waiting meanwhile."""
    call = _call(cloud)
    connections = list[socket.socket]()
    try:
        for _ in range(CONNECTIONS):  # no connection is silent for long: those are closed
            connections.append(_connect(cloud))
            connections[-1].sendall(call)
        for again in range(2):
            for connection in connections if again else ():
                connection.sendall(call)
            assert all(b"7.4.0" in _answer(connection) for connection in connections)
        assert cloud.client.text(VERSION) == "7.4.0"
    finally:
        for connection in connections:
            connection.close()


def test_slow_clients_hold_up_nobody(cloud: Cloud) -> None:
    """Fifty that send half a call and stop; the others are answered as ever."""
    call = _call(cloud)
    slow = [_connect(cloud) for _ in range(50)]
    for number, connection in enumerate(slow):
        connection.sendall(call[:20 + 5 * number])
    times = []
    for _ in range(50):
        begun = time.monotonic()
        cloud.client.text(VERSION)
        times.append(time.monotonic() - begun)
    for number, connection in enumerate(slow):
        connection.sendall(call[20 + 5 * number:])
    assert all(b"7.4.0" in _answer(connection) for connection in slow)
    for connection in slow:
        connection.close()
    assert sorted(times)[5] < 0.05  # what holds calls up does so to each; a busy machine, to some


@pytest.mark.parametrize("size", [5, 10, 40])
def test_a_call_that_is_too_large(cloud: Cloud, size: int) -> None:
    """Refused in words, the megabytes are not kept, the next call works."""
    before = _memory(cloud)
    big = xmlrpc.encode_call("one.vm.allocate", ("a:b", "x" * (size << 20)))
    with _connect(cloud) as connection:
        connection.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(big))
        connection.sendall(big)
        assert b"larger than the limit of 4194304 bytes" in _answer(connection)
    assert cloud.client.text(VERSION) == "7.4.0"
    assert _memory(cloud) - before < 30 << 20


def _memory(cloud: Cloud) -> int:
    """Resident bytes of oned."""
    with open(f"/proc/{cloud.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_client_that_goes_away(cloud: Cloud) -> None:
    """In the middle of its call, of an answer, of a long poll: nobody else notices."""
    call = _call(cloud, "one.vm.allocate", f"NAME={unique('gone')}\nCPU=1\nMEMORY=64\n", True)
    for cut in (10, len(call) - 10, len(call)):
        with _connect(cloud) as connection:
            connection.sendall(call[:cut])
    poll = _call(cloud, "onecore.events", 10**6, 20)
    with _connect(cloud) as connection:
        connection.sendall(poll)
    assert cloud.client.text(VERSION) == "7.4.0"
    assert "Traceback" not in cloud.output() + (cloud.home / "log" / "oned.log").read_text()


def test_no_state_to_answer_from(ground: Ground) -> None:
    """503 with Retry-After while memory is loaded anew; a call then under way is not answered from what is left."""
    sim = ground.sim
    data = xmlrpc.encode_call("one.vmpool.info", (sim.secret, -2, -1, -1, -1))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
    scope = {"type": "http", "method": "POST", "path": "/RPC2", "client": ("127.0.0.1", 1),
             "headers": []}
    assert sim.loop is not None
    sim.dispatch.ready = False
    sim.loop.run_until_complete(Application(sim.dispatch, 1 << 20)(scope, receive, send))
    assert sent[0]["status"] == 503 and (b"retry-after", b"1") in sent[0]["headers"]
    sim.dispatch.ready = True
    sim.core.sessions.clear()

    async def meanwhile() -> None:
        task = asyncio.get_running_loop().create_task(Application(sim.dispatch, 1 << 20)(scope, receive, send))
        await asyncio.sleep(0)  # it waits for its password to be checked
        sim.dispatch.ready = False
        sim.core.store.clear()
        await task
    sent.clear()
    sim.loop.run_until_complete(meanwhile())
    assert sent[0]["status"] == 503


def test_a_head_without_end(cloud: Cloud) -> None:
    """Refused after 64 KB, whatever is in it; the memory is not kept."""
    before = _memory(cloud)
    with _connect(cloud) as connection, pytest.raises(OSError):
        connection.sendall(b"POST /RPC2 HTTP/1.1\r\n")
        for number in range(50):
            connection.sendall(b"X-%d: %b\r\n" % (number, b"a" * (1 << 20)))
    assert _memory(cloud) - before < 10 << 20
    assert cloud.client.text(VERSION) == "7.4.0"


def test_requests_that_are_never_whole() -> None:
    """No byte, half a head, half a body: closed by the second sweep.  A whole call that takes its time is not."""
    parts = [b"", b"POST /RPC2 HTT", b"POST /RPC2 HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
             b"POST /RPC2 HTTP/1.1\r\nContent-Length: 5\r\n\r\nwhole"]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(60)

    async def run() -> list[bool]:
        config, state = uvicorn.Config(application, ws="none"), ServerState()
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
        streams = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in parts]
        for (_, writer), part in zip(streams, parts, strict=True):
            writer.write(part)
        while len(state.connections) < len(parts) or len(state.tasks) < 2:  # two have a whole head
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        for _ in range(2):
            sweep(state.connections)
        for reader, _ in streams[:3]:
            with suppress(OSError):
                await asyncio.wait_for(reader.read(), PATIENCE)
        await asyncio.sleep(0.05)
        server.close()
        closed = [reader.at_eof() or reader.exception() is not None for reader, _ in streams]
        for task in state.tasks:
            task.cancel()
        return closed
    assert asyncio.run(run()) == [True, True, True, False]
