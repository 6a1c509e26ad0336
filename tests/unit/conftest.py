"""Property tests have no deadline of their own: a busy machine is not a bug (pytest's timeout stays)."""
from __future__ import annotations

from hypothesis import settings

settings.register_profile("onecore", deadline=None)
settings.load_profile("onecore")
