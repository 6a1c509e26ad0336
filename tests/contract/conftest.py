"""One suite over every driver of a family: what docs/drivers.md promises, dummy and real alike.

To put a driver under it, add `tests/contract/rigs_NAME.py` with a list `RIGS` of `rig.Rig`:

    @contextmanager
    def opened(directory: Path) -> Iterator[Ground]:
        yield Ground(home=directory, host=..., vm=...)      # then clean up

    RIGS = [Rig("vm", "kvm", opened, marks=(pytest.mark.live,))]

A Rig names its family and driver and opens a Ground: the documents (host, vm, datastore, image) that the tests hand to
the driver, and `vanish`, which ends a guest behind its back.  rig.py says what each must be.  test_contract_FAMILY.py
and test_contract_FAMILY_….py run once for each rig of their family through the `bench` fixture: `bench.ok("deploy",
host=…, vm=…)` gives the result's data, `bench.refused(…)` the error of a permanent failure, `bench.samples()` and
`bench.news()` what the driver emitted.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from rig import LASTING, Bench, Disks, Rig

from drivers.context import Surroundings
from drivers.journal import Journal
from drivers.timers import TimerThread
from drivers.token import Token
from onecore.wire.messages import Doc, Message


def _rigs() -> list[Rig]:
    files = sorted(Path(__file__).parent.glob("rigs_*.py"))
    return [rig for file in files for rig in import_module(file.stem).RIGS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of test_contract_FAMILY.py for every rig of FAMILY."""
    if "bench" in metafunc.fixturenames:
        part = metafunc.module.__name__.rpartition("test_contract_")[2]
        rigs = [pytest.param(rig, id=rig.name, marks=rig.marks) for rig in _rigs()
                if rig.family == part.partition("_")[0] and (rig.parts is None or part in rig.parts)]
        metafunc.parametrize("rig", rigs)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With --dist loadgroup live tests of this machine's libvirt run one by one; see tests/live/conftest.py."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("live"):
            item.add_marker(pytest.mark.xdist_group("contract" if "-remote" in item.name else "here"))
            item.add_marker(pytest.mark.timeout(1200))  # as in tests/live


def pytest_sessionfinish() -> None:
    """Nothing of any rig stays."""
    LASTING.close()


@pytest.fixture
def bench(rig: Rig, tmp_path: Path) -> Iterator[Bench]:
    """The rig's driver on its ground."""
    messages: list[Message] = []
    with rig.open(tmp_path) as ground:
        around = Surroundings(ground.home, ground.settings, time.monotonic, Token.wait, messages.append, Journal())
        around.kept.get("timers", lambda: TimerThread(time.monotonic, Journal()))
        yield Bench(rig, ground, around, messages)
        around.kept.close()


@pytest.fixture
def pair(bench: Bench) -> Doc:
    """A host and a guest that runs on it."""
    if bench.ground.has is None:
        pytest.skip("this rig cannot look into guests")
    pair = {"host": bench.ground.host(), "vm": {**bench.ground.vm(1), **bench.ground.more}}
    bench.ok("deploy", **pair)
    return pair


@pytest.fixture
def disks(bench: Bench) -> Disks:
    """Eyes and hands without the driver."""
    if bench.ground.disks is None:
        pytest.skip("this rig cannot look into disks")
    return bench.ground.disks


@pytest.fixture
def until(bench: Bench) -> Callable[[Callable[[], object]], None]:
    """Wait until something is true, at most as long as a command may take."""
    def wait(true: Callable[[], object]) -> None:
        end = time.monotonic() + 10 * bench.ground.patience
        while not true():
            assert time.monotonic() < end, f"it does not come true; got {bench.messages}"
            time.sleep(0.02)
    return wait
