"""What unit tests share.

Property tests have no deadline of their own: a busy machine is not a bug (pytest's timeout stays).
But in long runs their inputs are the same ones each time: a run has neither good luck nor bad.
"""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from sched_fake import FakeOned
from sched_starting import Start, starting
from sim_points import LONG

settings.register_profile("onecore", deadline=None, derandomize=not LONG)
settings.load_profile("onecore")


@pytest.fixture
def start(oned: FakeOned) -> Iterator[Start]:
    """Starts match-makers at the module's `oned`."""
    yield from starting(oned)
