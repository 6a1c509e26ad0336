"""What live tests may run beside each other: each file by itself, those that use this machine's own libvirt as one."""
from __future__ import annotations

from pathlib import Path

import pytest

HERE = ("test_kvm_", "test_quickstart")
"""How the files begin that use it."""
LONG = ("test_remote_life.py", "test_remote_kill.py")
"""Files that take longest: the first to begin, so that nobody waits for them in the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A group for --dist loadgroup, in which tests keep their order: beds and clouds are made once a file."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            here = item.path.name.startswith(HERE)
            item.add_marker(pytest.mark.xdist_group("here" if here else item.path.stem))
    items.sort(key=lambda item: item.path.name not in LONG)
