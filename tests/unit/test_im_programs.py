"""The programs of the information driver as they run on hosts: sent as sources, speaking frames, ending alone."""
from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Program
from drivers.hand import parcel
from drivers.hand.survey import directories, taps
from drivers.hand.wire import START, Reader, pack
from drivers.im.programs import CHECK, PROBE, SURVEY

PROGRAMS = (PROBE, SURVEY, CHECK)
HANGS = "#!/bin/sh\necho $$ > \"${0%/*}/pid\"\nexec sleep 60\n"


class Sent:
    """A program that runs as it does on a host."""

    def __init__(self, program: Program, argument: dict[str, Any], path: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-I", "-c", parcel.BOOTSTRAP], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env={"PATH": path}, bufsize=0)
        assert self.process.stdin
        self.process.stdin.write(parcel.sources(program.entry, program.modules) + pack(argument))
        self._reader, self._documents = Reader(START), list[dict[str, Any]]()

    def next(self) -> dict[str, Any]:
        """Its next document."""
        assert self.process.stdout
        while not self._documents:
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            assert chunk, "it ended"
            self._documents += [document for document, _ in self._reader.feed(chunk)]
        return self._documents.pop(0)

    def close(self) -> None:
        """Its driver is gone."""
        assert self.process.stdin
        self.process.stdin.close()


@contextmanager
def sent(program: Program, argument: dict[str, Any], path: str = "/nowhere") -> Iterator[Sent]:
    made = Sent(program, argument, path)
    try:
        yield made
    finally:
        made.close()
        try:
            made.process.wait(40)
        finally:
            made.process.kill()


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a virsh that never answers and leaves its pid."""
    (tmp_path / "virsh").write_text(HANGS)
    (tmp_path / "virsh").chmod(0o755)
    return tmp_path


def argument(**more: Any) -> dict[str, Any]:
    return {"period": 0.1, "uri": "qemu:///system", "datastores": [], "bridges": [], **more}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.entry)
def test_what_is_sent_is_all_of_the_standard_library_and_old_enough_python(program: Program) -> None:
    for name in program.modules:
        tree = ast.parse(Path(str(sys.modules[name].__file__)).read_text(), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for each in names:
                assert each.split(".")[0] in sys.stdlib_module_names or each == "drivers.hand.wire" \
                    or each in program.modules or each == "drivers.hand", f"{name} imports {each}"


def test_a_probe_without_virsh_says_so_every_period(tmp_path: Path) -> None:
    with sent(PROBE, argument(), str(tmp_path)) as probe:
        documents = [probe.next() for _ in range(3)]
    if not Path("/usr/bin/virsh").exists():
        assert "virsh" in documents[0]["error"]
    assert documents[0]["time"] < documents[1]["time"] < documents[2]["time"] <= time.time()


def test_a_probe_whose_driver_is_gone_ends_with_its_virsh(hanging: Path) -> None:
    with sent(PROBE, argument(), f"{hanging}:/usr/bin:/bin") as probe:
        pid = _appears(hanging / "pid")
        began = time.monotonic()
        probe.close()
        assert probe.process.wait(40) == 0 and time.monotonic() - began < 7.5
        _until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or b"sleep" not in _command(pid))


def test_check_tells_facts_although_nothing_is_there(hanging: Path, tmp_path: Path) -> None:
    (hanging / "virsh").write_text("#!/bin/sh\necho error: no libvirt here >&2\nexit 1\n")
    store = {"id": 4, "base_path": str(tmp_path / "store"), "token": ".there"}
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".there").touch()
    with sent(CHECK, argument(datastores=[store], bridges=["lo", "none0"]), str(hanging)) as check:
        found = check.next()
    assert found["libvirt"] == {"error": "libvirt: no libvirt here"} and found["user"]["uid"] == os.getuid()
    assert found["storage"][0]["error"] == "" and found["storage"][0]["sees"] and found["storage"][0]["total_mb"] > 0
    assert [(each["there"], each["bridge"]) for each in found["bridges"]] == [(True, False), (False, False)]
    assert sorted(os.listdir(tmp_path / "store")) == [".there"], "nothing is left behind"


def test_a_survey_without_libvirt_is_an_error(hanging: Path) -> None:
    (hanging / "virsh").write_text("#!/bin/sh\necho error: no libvirt here >&2\nexit 1\n")
    with sent(SURVEY, argument(), str(hanging)) as survey:
        assert survey.next() == {"error": "libvirt: no libvirt here", "temporary": True}


def test_directories_of_vms_are_numbers_with_what_their_files_take(tmp_path: Path) -> None:
    for name in ("7", "12", ".locks", "7x", "²"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    (tmp_path / "3").symlink_to(tmp_path / "7")
    (tmp_path / "7" / "disk.0.tmp.4711").write_bytes(os.urandom(3 << 20))
    with open(tmp_path / "12" / "disk.0", "wb") as sparse:
        sparse.truncate(1 << 30)
    stores = [{"id": 0, "base_path": str(tmp_path)}, {"id": 5, "base_path": str(tmp_path / "none")}]
    assert list(directories(stores, time.monotonic() + 60)) == [
        {"ds": 0, "vm": 7, "path": str(tmp_path / "7"), "size_mb": 3},
        {"ds": 0, "vm": 12, "path": str(tmp_path / "12"), "size_mb": 0}]
    assert [each["size_mb"] for each in directories(stores, 0)] == [0, 0], "no time for sizes"


def test_taps_of_vms_are_ours_and_libvirts_that_nobody_holds(tmp_path: Path) -> None:
    for name, carrier in (("one-7-0", "1"), ("vnet3", "0"), ("vnet4", "1"), ("tap0", "0"), ("one-eth", None)):
        (tmp_path / name).mkdir()
        if carrier is not None:
            (tmp_path / name / "tun_flags").touch()
            (tmp_path / name / "carrier").write_text(carrier)
    assert taps(str(tmp_path)) == ["one-7-0", "vnet3"]


def test_a_program_has_the_version_of_its_sources() -> None:
    names = [parcel.version(program.entry, program.modules) for program in PROGRAMS]
    assert len(set(names)) == 3 and all(len(name) == 12 for name in names)
    assert hashlib.sha256(parcel.sources(PROBE.entry, PROBE.modules)).hexdigest().startswith(names[0])


def _appears(path: Path) -> int:
    _until(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
