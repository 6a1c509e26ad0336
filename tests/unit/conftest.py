"""What unit tests share.

Property tests have no deadline of their own: a busy machine is not a bug (pytest's timeout stays).
"""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from sched_fake import FakeOned
from sched_starting import Start, starting

settings.register_profile("onecore", deadline=None)
settings.load_profile("onecore")


@pytest.fixture
def start(oned: FakeOned) -> Iterator[Start]:
    """Starts match-makers at the module's `oned`."""
    yield from starting(oned)
