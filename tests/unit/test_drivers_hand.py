"""The hand as a child process over pipes: what it answers, how it ends, and that it comes and goes without a file."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from elsewhere import send_elsewhere
from ssh_ground import ends, soon

from drivers.hand import parcel, wire
from drivers.hand.failure import Failure
from drivers.hand.files import read
from drivers.hand.serve import MODULES
from drivers.hand.wire import BEAT, START, FrameError, Reader, Wire, pack

ENTRY = "drivers.hand.serve:serve"
Frame = tuple[dict[str, Any], bytes]


class Hand:
    """A hand, and its frames."""

    def __init__(self, argv: list[str] | None = None, entry: str = ENTRY, cwd: Path | None = None) -> None:
        argv = argv or [sys.executable, "-I", "-c", parcel.BOOTSTRAP]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        cwd=cwd)
        self._reader = Reader(START)
        self._frames: list[Frame] = []
        self.write(parcel.sources(entry, MODULES) + pack({}))

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, data: bytes = b"", **document: Any) -> None:
        self.write(pack(document, data))

    def next(self) -> Frame:
        assert self.process.stdout is not None
        while not self._frames:
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "the hand has ended"
            self._frames += self._reader.feed(chunk)
        return self._frames.pop(0)

    def ask(self, data: bytes = b"", **document: Any) -> Frame:
        self.send(data, id=1, **document)
        return self.next()

    def end(self) -> int:
        """Close its input, and give its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(40)


@pytest.fixture
def hand() -> Iterator[Hand]:
    made = Hand()
    assert "hello" in made.next()[0]
    yield made
    made.process.kill()
    made.process.wait()


def test_it_answers_and_refuses(hand: Hand) -> None:
    assert hand.ask(b"in", do="run", argv=["cat"]) == ({"id": 1, "ok": {"err": "", "code": 0}}, b"in")
    assert hand.ask(do="run", argv=["sh", "-c", "echo no >&2; exit 4"])[0]["ok"] == {"err": "no", "code": 4}
    refused = {"id": 1, "error": "/no: No such file or directory", "temporary": False}
    assert hand.ask(do="read", path="/no")[0] == refused
    assert "internal error" in hand.ask(do="dance")[0]["error"]
    assert "lock on the VM was lost" in hand.ask(do="run", argv=["true"], fences=["gone"])[0]["error"]
    hand.send(ping=7)
    assert hand.next()[0] == {"pong": 7}


def test_many_requests_at_once(hand: Hand, tmp_path: Path) -> None:
    """None ends before all have begun."""
    script = 'touch "$0/$1"; while [ "$(ls "$0" | wc -l)" -lt 20 ]; do sleep 0.05; done'
    for number in range(20):
        hand.send(id=number, do="run", argv=["sh", "-c", script, str(tmp_path), str(number)])
    answers = [hand.next()[0] for _ in range(20)]
    assert {each["id"]: each["ok"]["code"] for each in answers} == dict.fromkeys(range(20), 0)


def test_a_cancel_ends_one(hand: Hand, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    hand.send(id=1, do="run", argv=["sh", "-c", f"touch {begun}; sleep 60 & wait"])
    hand.send(id=2, do="run", argv=["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.05; done"])
    soon(begun.exists)
    hand.send(cancel=1)
    hand.send(cancel=99)
    assert hand.next()[0] == {"id": 1, "ok": {"err": "", "code": -9}}
    go.touch()
    assert hand.next()[0] == {"id": 2, "ok": {"err": "", "code": 0}}


@pytest.mark.parametrize("how", ["close", "garbage", "elsewhere", signal.SIGTERM, signal.SIGHUP])
def test_it_ends_with_all_its_children(hand: Hand, tmp_path: Path, how: str | signal.Signals) -> None:
    pids = tmp_path / "pids"
    mark = hand.ask(do="claim", dir=str(tmp_path / "datastores" / "0" / "1"), order=[1, 1, 1])[0]["ok"]
    assert hand.ask(do="take", mark=mark)[0]["ok"] is True
    script = f"setsid sh -c 'echo $PPID $$ > {pids}.new; mv {pids}.new {pids}; sleep 60; :' & wait"
    hand.send(id=1, do="run", argv=["sh", "-c", script], fences=[mark])
    soon(pids.exists)
    child, escaped = map(int, pids.read_text().split())
    if isinstance(how, signal.Signals):
        hand.process.send_signal(how)
        hand.process.wait(40)
    elif how == "elsewhere":
        send_elsewhere(hand.process.pid, signal.SIGTERM)
        hand.process.wait(40)
    elif how == "garbage":
        hand.write(b"\xff" * 100)
        hand.process.wait(40)
    else:
        assert hand.end() == 0
    soon(lambda: ends(child) and ends(escaped))


def test_what_is_printed_does_not_get_among_the_frames(hand: Hand) -> None:
    assert hand.ask(do="run", argv=["sh", "-c", "echo out; echo err >&2"])[0]["ok"]["err"] == "err"
    assert os.readlink(f"/proc/{hand.process.pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{hand.process.pid}/fd/1") == os.readlink(f"/proc/{hand.process.pid}/fd/2")


def test_nothing_is_left_on_disk(tmp_path: Path) -> None:
    ours = Hand(cwd=tmp_path)
    ours.next()
    opened = [os.readlink(f"/proc/{ours.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{ours.process.pid}/fd")]
    assert ours.end() == 0
    assert os.listdir(tmp_path) == [] and {each for each in opened if each.startswith("/")} <= {"/dev/null"}


def test_the_shells_line_finds_a_python_and_passes_the_mark() -> None:
    ours = Hand(["sh", "-c", "echo welcome to this host; " + parcel.shell_line("abc123")])
    assert "hello" in ours.next()[0]
    assert b"ONECORE_FENCE=abc123" in Path(f"/proc/{ours.process.pid}/environ").read_bytes().split(b"\0") or \
        ours.ask(do="run", argv=["printenv", "ONECORE_FENCE"])[1] == b"abc123\n"
    ours.end()
    assert "\n" not in parcel.shell_line() and "!" not in parcel.shell_line()


def test_an_old_python_says_so() -> None:
    script = f"import sys; sys.version_info = (3, 8); sys.version = '3.8.1 (x)'; {parcel.BOOTSTRAP}"
    done = subprocess.run([sys.executable, "-I", "-c", script], input=b"", capture_output=True)
    assert done.returncode == 1 and done.stderr == f"{parcel.TOO_OLD}, this is 3.8.1\n".encode()


def test_no_python_at_all_says_so(tmp_path: Path) -> None:
    line = parcel.shell_line().replace("/usr/", "/no/")
    done = subprocess.run(["/bin/sh", "-c", line], env={"PATH": str(tmp_path)}, capture_output=True)
    assert done.returncode == 127 and b"no Python 3 on this host" in done.stderr


def test_a_channel_that_closes_early_is_no_riddle() -> None:
    for sent in (b"", parcel.sources(ENTRY, MODULES)[:100], parcel.sources(ENTRY, MODULES)):
        done = subprocess.run([sys.executable, "-I", "-c", parcel.BOOTSTRAP], input=sent, capture_output=True)
        assert b"Traceback" not in done.stderr


def test_the_version_is_that_of_the_sources() -> None:
    assert parcel.version(ENTRY, MODULES) == parcel.version(ENTRY, MODULES)
    assert parcel.version(ENTRY, MODULES) != parcel.version(ENTRY, MODULES[:-1])


def test_who_hears_nothing_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of its own: signs of life come at 30, 60 and 90, a minute after the last one nobody is there."""
    clock, beats = [0.0], [30.0, 60.0, 90.0]
    source, sink = os.pipe()

    def select(reading: list[int], writing: list[int], failing: list[int], seconds: float) -> tuple[list[int], ...]:
        until = clock[0] + seconds
        if not beats or until < beats[0]:
            clock[0] = until
            return [], [], []
        clock[0] = beats.pop(0)
        os.write(sink, BEAT)
        return [source], [], []
    with monkeypatch.context() as patch:
        patch.setattr(wire, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        patch.setattr(wire, "select", SimpleNamespace(select=select))
        ours = Wire(source, sink)
        with pytest.raises(TimeoutError):
            ours.receive(10)
        assert clock == [10.0]
        with pytest.raises(EOFError, match="nothing was heard for 60 s"):
            ours.receive()
        assert clock == [150.0]
    os.close(sink)
    with pytest.raises(EOFError, match="closed"):
        Wire(source, source).receive()
    os.close(source)


def test_frames_in_any_pieces() -> None:
    frames: list[Frame] = [({"a": "ü\udcff"}, b""), ({}, b"\x00" * 1000), ({"b": [1]}, b"x")]
    stream = b"motd\n" + START + b"".join(pack(document or None, data) for document, data in frames) + BEAT
    for step in (1, 2, 7, 100, len(stream)):
        reader = Reader(START)
        pieces = [stream[at:at + step] for at in range(0, len(stream), step)]
        assert [frame for piece in pieces for frame in reader.feed(piece)] == frames


@pytest.mark.parametrize("stream", [b"\xff" * 8, b"\0\0\0\x02\0\0\0\0[]", b"\0\0\0\x01\0\0\0\0{"])
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    with pytest.raises(FrameError):
        list(Reader().feed(stream))
    with pytest.raises(FrameError):
        list(Reader(START).feed(b"a shell that talks " * 5000))
    with pytest.raises(FrameError):
        pack({}, bytes(wire.MOST))


def test_a_file_that_is_too_large_to_be_read_at_once(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(Failure, match="larger than 64 MB"):
        read(str(tmp_path / "large"))
