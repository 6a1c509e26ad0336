"""The core's log: text or JSON, one line a call, on through a rotation; and a file a VM."""
from __future__ import annotations

import json
import re
import threading
from pathlib import Path

from onecore.log import Log


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_text(tmp_path: Path) -> None:
    """Time, level, request, text; calls in their turn; a traceback where there is an error."""
    log = Log(tmp_path)
    log.call("1-a", 2, "one.vm.info", 12, 0, 0.1234, "127.0.0.1")
    log.call("1-b", 2, "one.vm.info", 13, 0x400, 1, "127.0.0.1")
    log.warning("careful", "1-c")
    try:
        raise ValueError("odd")
    except ValueError as error:
        log.error("failed", error=error)
    log.close()
    stamp = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
    found = _lines(tmp_path / "oned.log")
    for line, wanted in zip(found, (r"I \[1-a\] one.vm.info 12 by 2 0.12 ms$", r"I \[1-b\] .* error 0x0400$",
                                    r"W \[1-c\] careful$", "E failed$"), strict=False):
        assert re.search(stamp + wanted, line), line
    assert found[-1] == "ValueError: odd"


def test_json(tmp_path: Path) -> None:
    """One object a line, whatever is in the text; a call has its fields."""
    log = Log(tmp_path, as_json=True)
    log.call("1-a", 2, "one.vm.info", 12, 0, 0.1234, "::1")
    log.line("info", 'two\nlines "quoted"', "1-b", extra=7)
    log.error("bad", error=ValueError("odd"))
    log.close()
    call, line, error = (json.loads(text) for text in _lines(tmp_path / "oned.log"))
    assert {k: call[k] for k in ("rid", "uid", "method", "id", "code", "ms", "client")} == {
        "rid": "1-a", "uid": 2, "method": "one.vm.info", "id": 12, "code": 0, "ms": 0.12, "client": "::1"}
    assert (line["text"], line["level"], line["rid"], line["extra"]) == ('two\nlines "quoted"', "info", "1-b", 7)
    assert error["level"] == "error" and "odd" in error["traceback"]


def test_levels(tmp_path: Path) -> None:
    """Less is written, calls too."""
    log = Log(tmp_path, level="warning")
    log.info("no")
    log.debug("no")
    log.call("1-a", 2, "one.vm.info", 12, 0, 1, "")
    log.warning("yes")
    log.close()
    assert [line.split()[-1] for line in _lines(tmp_path / "oned.log")] == ["yes"]


def test_a_rotation(tmp_path: Path) -> None:
    """Lines go to the renamed file until it is told, and to a new one from then on; none is lost."""
    log, path = Log(tmp_path), tmp_path / "oned.log"
    log.info("one")
    path.rename(tmp_path / "oned.log.1")
    log.info("two")
    log.call("1-a", 2, "one.vm.info", 12, 0, 1, "")
    log.reopen()
    log.info("three")
    log.close()
    assert [line.rsplit(" ", 1)[1] for line in _lines(tmp_path / "oned.log.1")] == ["one", "two", "ms"]
    assert _lines(path)[-1].endswith("three")


def test_vm_logs(tmp_path: Path) -> None:
    """A file a VM, written together; rotated or removed ones are made again; none without a directory."""
    log = Log(tmp_path)
    log.vm(3, "New state is PROLOG", "1-a")
    log.vm(3, "it failed", level="error")
    log.vm(4, "other")
    assert not (tmp_path / "vm" / "3.log").exists()
    log.flush_vms()
    assert [re.sub(r"^\S+ \S+ ", "", line) for line in _lines(tmp_path / "vm" / "3.log")] == [
        "I [1-a] New state is PROLOG", "E it failed"]
    (tmp_path / "vm" / "3.log").unlink()
    log.vm(3, "again")
    log.close()
    assert len(_lines(tmp_path / "vm" / "3.log")) == 1
    assert Log(None).vm_path(3) is None


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """The line is lost; the next one that can be written is there."""
    log = Log(tmp_path)
    (tmp_path / "vm" / "5.log").mkdir()
    log.vm(5, "lost")
    log.flush_vms()
    log.close()
    assert "cannot write" in (tmp_path / "oned.log").read_text()


def test_a_reader_waits_for_lines_on_their_way(tmp_path: Path) -> None:
    """While another thread flushes too, what was told before a flush is in the file after it."""
    log = Log(tmp_path)
    path = tmp_path / "vm" / "7.log"
    stop = threading.Event()
    other = threading.Thread(target=lambda: [log.flush_vms() for _ in iter(stop.is_set, True)])
    other.start()
    try:
        for number in range(1, 200):
            log.vm(7, f"line {number}")
            log.flush_vms()
            assert len(path.read_text().splitlines()) == number
    finally:
        stop.set()
        other.join()
        log.close()
