"""What the tests of the crash harness share: one stock of prepared clouds."""
from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from chaos_pool import Worker, scratch


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """Carries plans out."""
    home = os.environ.get("HOME")
    with scratch() as base:
        yield Worker(base)
    if home is not None:
        os.environ["HOME"] = home
