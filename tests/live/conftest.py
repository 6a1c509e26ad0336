"""What live tests may run beside each other: each file by itself, those that use this machine's own libvirt as one."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bed_cloud import BedCloud, bed_cloud

HERE = ("test_kvm_", "test_quickstart")
"""How the files begin that use it."""
LONG = ("test_remote_life.py", "test_remote_kill.py")
"""Files that take longest: the first to begin, so that nobody waits for them in the end."""

HANGS = 1200
"""Seconds after which a test hangs and is not just slow: these guests are emulated, beside whatever else runs."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[BedCloud]:
    """A cloud on a bed of two hosts, for all tests of a file; some files have another one."""
    with bed_cloud(2) as made:
        yield made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A group for --dist loadgroup, in which tests keep their order: beds and clouds are made once a file."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            here = item.path.name.startswith(HERE)
            item.add_marker(pytest.mark.xdist_group("here" if here else item.path.stem))
            item.add_marker(pytest.mark.timeout(HANGS))
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ends a run whose groups would not hold (a pytest that this xdist does not know): its beds would collide."""
    grouped = (item for item in session.items if item.get_closest_marker("xdist_group"))
    if session.config.getoption("loadgroup", False) and not all("@" in item.nodeid for item in grouped):
        raise pytest.UsageError("--dist loadgroup does not group: pytest and pytest-xdist do not fit each other")
