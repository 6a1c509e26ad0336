"""A full disk: reads go on, changes are refused and leave nothing; all goes on by itself when there is room again."""
from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from cloud_process import Cloud, unique, until
from crash_ground import check_books
from makers import MakeCloud

from onecore.wire.client import ClientError

pytestmark = pytest.mark.sqlite
INTERNAL = 0x2000
T = TypeVar("T")


@contextmanager
def _no_growth(cloud: Cloud) -> Iterator[None]:
    """No file of oned can grow any more."""
    before = resource.prlimit(cloud.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(cloud.pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.prlimit(cloud.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def _full(directory: Path) -> Iterator[None]:
    """Not a byte is free on the file system."""
    filler = directory / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as out:
        while out.write(b"x" * 4096):
            pass
    yield
    filler.unlink()


def _error(call: Callable[[], object]) -> ClientError:
    """How CALL is refused: not because what is stored is just loaded again, which a driver's result may cause at any
    moment (HTTP 503, try again)."""
    def answer() -> ClientError | None:
        with pytest.raises(ClientError) as refused:
            call()
        return refused.value if refused.value.code else None
    return until(20.0, "a refusal", answer)


def _refused(cloud: Cloud) -> str:
    """The answer to a call that changes something."""
    error = _error(lambda: cloud.make_vm(unique("refused")))
    assert error.code == INTERNAL
    return str(error)


def _go_through(cloud: Cloud, vm: int, known: int) -> None:
    """What is true while nothing can be written."""
    for _ in range(4):
        assert "stored" in _refused(cloud)
        until(5.0, "reads to go on",
              lambda: _answer(lambda: cloud.vm_state(vm)) in ("RUNNING", "SHUTDOWN_POWEROFF"))
    assert _error(lambda: cloud.client.call("one.vm.info", 10**6)).code == 0x0400
    until(5.0, "a list of what is stored", lambda: _answer(
        lambda: cloud.client.text("one.vmpool.info", -2, -1, -1, -1).count("<VM>")) == known)


def _answer(call: Callable[[], T]) -> T | None:
    """What a call is answered; None when it is refused."""
    try:
        return call()
    except ClientError:
        return None


def _goes_on(cloud: Cloud, vm: int, known: int, restart: bool = False) -> None:
    """What was under way arrives; new changes are stored; the books balance, also after a restart."""
    made = until(15.0, "changes to be stored again", lambda: _answer(cloud.make_vm)) or -1
    cloud.wait_vm(vm, "POWEROFF", 15.0)
    if restart:
        cloud.kill()
        cloud.start()
    assert cloud.vm_state(made) == "PENDING"
    pool = cloud.client.text("one.vmpool.info", -2, -1, -1, -1)
    assert pool.count("<VM>") == known + 1 and "refused-" not in pool
    check_books(cloud)


def _begin(cloud: Cloud) -> int:
    """A VM whose poweroff is under way."""
    host, network = cloud.add_hosts(1)[0], cloud.make_network()
    vm = cloud.make_vm(image=cloud.make_image(), network=network)
    cloud.deploy(vm, host)
    cloud.hold("vm.shutdown")
    cloud.client.call("one.vm.action", "poweroff", vm)
    return vm


def _release(cloud: Cloud) -> None:
    """The poweroff ends now; the script stays as long as it was, so that no page becomes free on a full disk."""
    script = cloud.home / "dummy.json"
    size = script.stat().st_size
    with script.open("r+") as out:
        out.write("{}".ljust(size))


def test_files_that_cannot_grow(make_cloud: MakeCloud) -> None:
    """RLIMIT_FSIZE, as a quota would do it; a driver's result that comes meanwhile is not lost."""
    cloud = make_cloud()
    vm = _begin(cloud)
    with _no_growth(cloud):
        _release(cloud)
        time.sleep(0.4)
        _go_through(cloud, vm, 1)
        until(5.0, "the poweroff to be told", lambda: _answer(
            lambda: json.loads(cloud.client.text("onecore.status"))["under_way"]))
    _goes_on(cloud, vm, 1)


def test_a_file_system_that_is_full(make_cloud: MakeCloud, tmp_path: Path) -> None:
    """ENOSPC under database, log and all (a tmpfs; for root only)."""
    home = tmp_path / "cloud0" / "home"
    cloud = make_cloud(start=False)
    config = (home / "oned.conf").read_text()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "onecore-test", str(home)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        (home / "oned.conf").write_text(config)
        cloud.start()
        vm = _begin(cloud)
        with _full(home):
            _release(cloud)
            time.sleep(0.4)
            _go_through(cloud, vm, 1)
        _goes_on(cloud, vm, 1, restart=True)
    finally:
        cloud.stop()
        subprocess.run(["umount", "-l", str(home)], check=True)
