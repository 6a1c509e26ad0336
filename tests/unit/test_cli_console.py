"""The serial console: by virsh, by TCP, and by TCP through SSH."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.errors import CliError
from cli.vm import console
from onecore.wire import xmlbody

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
SERIAL = "<SERIAL><TYPE>tcp</TYPE><LISTEN>{}</LISTEN><PORT>{}</PORT></SERIAL>"


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that took the command's place, which then ends."""
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda file, arguments: seen.append(arguments))
    return seen


def test_console(one: Runner, cloud: Cloud, became: list[list[str]]) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web").replace("<DEPLOY_ID/>", "<DEPLOY_ID>one-7</DEPLOY_ID>")
    assert one("vm", "console", "7").code == one("vm", "console", "7", "--ssh-options", "-l root").code == 0
    assert became == [
        ["ssh", "-t", "node7", "virsh -c qemu:///system console one-7"],
        ["ssh", "-l", "root", "-t", "node7", "virsh -c qemu:///system console one-7"],
    ]


@pytest.mark.parametrize(
    ("endpoint", "local"), [("http://127.0.0.1:2633/RPC2", True), ("http://front:2633/RPC2", False)]
)
def test_the_front_end_needs_no_ssh_to_itself(
    one: Runner, cloud: Cloud, became: list[list[str]], endpoint: str, local: bool
) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web").replace("node7", "localhost")
    one("vm", "console", "7", "--endpoint", endpoint)
    one("vm", "console", "7", "--log", "--endpoint", endpoint)
    assert [command[0] for command in became] == (["virsh", "sh"] if local else ["ssh", "ssh"])
    if local:
        assert became == [
            ["virsh", "-c", "qemu:///system", "console", "one-7"],
            ["sh", "-c", console.log_command("one-7")],
        ]


def test_console_log_finds_the_file(one: Runner, cloud: Cloud, became: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text("booted\n")
    (tmp_path / "virsh").write_text(
        f"#!/bin/sh\n[ \"$*\" = '-c qemu:///system dumpxml one-7' ] || exit 1\n"
        f"echo \"<serial type='pty'><log file='{tmp_path}/console.log' append='on'/></serial>\"\n"
    )
    (tmp_path / "virsh").chmod(0o755)
    cloud.answers["one.vm.info"] = cloud.vm(7, "web")
    one("vm", "console", "7", "--log")
    (command,) = became
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert command[:2] == ["ssh", "node7"]
    assert subprocess.run(command[2], shell=True, env=path, capture_output=True, text=True).stdout == "booted\n"


def test_console_of_what_does_not_run(one: Runner, cloud: Cloud, became: list[list[str]]) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", 8, 0, user=SERIAL.format("0.0.0.0", 1))
    assert one("vm", "console", "7").err == "VM 7 does not run, it is POWEROFF\n"
    assert became == []


def served(answer: Callable[[socket.socket], None]) -> int:
    """The port of a server that ANSWERs one connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with server, connection:
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


def carried(link: socket.socket, typed: bytes, telnet: bool = False) -> bytes:
    """What pump shows when TYPED is typed, and then nothing more."""
    source, source_end = os.pipe()
    shown, sink = os.pipe()
    os.write(source_end, typed)
    os.close(source_end)
    console.pump(link, source, sink, telnet)
    os.close(sink)
    with os.fdopen(shown, "rb") as file:
        found = file.read()
    os.close(source)
    return found


def test_bytes_go_both_ways_until_the_guest_ends() -> None:
    got = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"login: ")
        got.append(connection.recv(100))
        connection.sendall(b"hello\r\n")

    with socket.create_connection(("127.0.0.1", served(answer))) as link:
        assert carried(link, b"ann\r") == b"login: hello\r\n"
    assert got == [b"ann\r"]


def test_ctrl_bracket_leaves() -> None:
    got = []

    def answer(connection: socket.socket) -> None:
        while told := connection.recv(100):
            got.append(told)

    with socket.create_connection(("127.0.0.1", served(answer))) as link:
        assert carried(link, b"ls\r\x1dnot this") == b""
    assert b"not this" not in b"".join(got)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (b"plain", b"plain"),
        (b"\xff\xfb\x01\xff\xfb\x03a", b"a"),
        (b"a\xff\xffb", b"a\xffb"),
        (b"a\xff\xf1b\xff\xfd\x00", b"ab"),
    ],
)
def test_telnet_is_not_shown(told: bytes, shown: bytes) -> None:
    assert console.spoken(told) == shown
    with socket.create_connection(("127.0.0.1", served(lambda connection: connection.sendall(told)))) as link:
        assert carried(link, b"", telnet=True) == shown


def body(cloud: Cloud, listen: str, port: int) -> xmlbody.Body:
    """A VM on node7 whose console listens there."""
    return xmlbody.read(cloud.vm(7, "web", user=SERIAL.format(listen, port)))


def test_a_port_that_anybody_reaches(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    port = served(lambda connection: connection.sendall(b"hi"))
    straight = socket.create_connection
    asked = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        return straight(("127.0.0.1", address[1]), timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    with console.link(body(cloud, "0.0.0.0", port), ["ssh"]) as link:
        assert carried(link, b"") == b"hi"
    assert asked == [("node7", port)]
    monkeypatch.setattr(socket, "create_connection", straight)
    with pytest.raises(CliError, match="127.0.0.1:1: "):
        monkeypatch.setattr(console, "host_of", lambda _: "127.0.0.1")
        with console.link(body(cloud, "0.0.0.0", 1), ["ssh"]):
            pass


def test_a_port_that_its_host_alone_reaches(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nread line\necho "got $line"\n')
    (tmp_path / "ssh").chmod(0o755)
    with console.link(body(cloud, "127.0.0.1", 4012), [str(tmp_path / "ssh"), "-v"]) as link:
        assert carried(link, b"abc\n") == b"got abc\n"
    assert (tmp_path / "asked").read_text() == "-v -W 127.0.0.1:4012 node7\n"
    with console.link(body(cloud, "::1", 4012), [str(tmp_path / "ssh")]) as link:
        assert carried(link, b"abc\n") == b"got abc\n"
    assert (tmp_path / "asked").read_text() == "-W [::1]:4012 node7\n"


def test_ssh_that_fails_is_told(cloud: Cloud) -> None:
    with (
        pytest.raises(CliError, match="ssh to node7 ended with 3"),
        console.link(body(cloud, "127.0.0.1", 4012), ["sh", "-c", "exit 3"]) as link,
    ):
        assert link.recv(10) == b""
