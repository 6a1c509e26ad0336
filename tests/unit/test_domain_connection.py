"""Calls to libvirt end in time, whatever libvirt does."""
from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.base import Cancelled, Permanent, Temporary  # noqa: E402
from drivers.context import Running, Surroundings  # noqa: E402
from drivers.journal import Journal  # noqa: E402
from drivers.token import Token  # noqa: E402
from drivers.vm import line, plugs  # noqa: E402
from drivers.vm.call import Silence  # noqa: E402
from drivers.vm.connection import call  # noqa: E402
from onecore.wire.messages import Command  # noqa: E402

HOST = {"id": 5, "name": "localhost"}


def context(tmp_path: Path, timeout: float = 60.0, uri: str = "test:///default", token: Token | None = None) -> Running:
    around = Surroundings(tmp_path, {"kvm": {"uri": uri}}, time.monotonic, Token.wait, lambda _: None, Journal())
    command = Command(1, 1, 1, 1, "lane", "kvm", "deploy", ("vm", 1), timeout)
    return Running(around, command, token or Token())


def hang(ctx: Running, stop: threading.Event) -> None:
    """A call that goes on until it is stopped."""
    call(ctx, HOST, "hanging", lambda _: stop.wait(20), on_stop=lambda _: stop.set())


def test_an_answer_comes_back(tmp_path: Path) -> None:
    assert call(context(tmp_path), HOST, "asking", lambda c: c.getHostname()) == libvirt.open(
        "test:///default").getHostname()


def test_a_refusal_is_permanent_and_says_what_was_done(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="looking for VM 3: Domain not found"):
        call(context(tmp_path), HOST, "looking for VM 3", lambda c: c.lookupByName("nothing"))


def test_a_call_that_hangs_is_left_at_the_deadline_and_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Temporary):
        hang(context(tmp_path, timeout=0.3), stop)
    assert stop.is_set()


def test_a_call_that_hangs_is_left_when_cancelled(tmp_path: Path) -> None:
    token, stop = Token(), threading.Event()
    threading.Timer(0.2, token.cancel).start()
    with pytest.raises(Cancelled):
        hang(context(tmp_path, token=token), stop)
    assert stop.is_set()


def test_a_libvirtd_that_never_answers_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "OPEN_SECONDS", 0.5)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "sock"))
        deaf.listen()
        uri = f"qemu+unix:///system?socket={tmp_path}/sock"
        with pytest.raises(Temporary, match="does not answer"):
            call(context(tmp_path, uri=uri), HOST, "asking", lambda c: c.getHostname())


def test_no_libvirtd_is_temporary(tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/none"
    with pytest.raises(Temporary):
        call(context(tmp_path, uri=uri), HOST, "asking", lambda c: c.getHostname())


def test_a_deaf_libvirtd_leaves_no_thread_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "OPEN_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "sock"))
        deaf.listen()

        def asked(times: int) -> None:
            for _ in range(times):
                with pytest.raises(Silence):
                    line.open_line("node1", f"qemu+unix:///system?socket={tmp_path}/sock&mode=direct", threading.Lock())
            end = time.monotonic() + 20
            while any(each.name == "libvirt-call" for each in threading.enumerate()):
                assert time.monotonic() < end, threading.enumerate()
                time.sleep(0.05)

        asked(1)  # libvirt's event loop, and what it has open, stays
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        asked(4)
        assert threading.active_count() <= threads and len(os.listdir("/proc/self/fd")) <= files


def test_only_ones_own_new_connections_are_plugs(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as old:
        server.bind(str(tmp_path / "sock"))
        server.listen()
        old.connect(str(tmp_path / "sock"))
        before = plugs.inodes()
        with socket.socket(socket.AF_UNIX) as new, socket.socketpair()[0]:
            new.connect(str(tmp_path / "sock"))
            found = plugs.plugged(str(tmp_path / "sock"), before)
            assert [os.fstat(each.fileno()).st_ino for each in found] == [os.fstat(new.fileno()).st_ino]
            found[0].close()
