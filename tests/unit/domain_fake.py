"""What every fake of a running domain of libvirt's has: VM 7 of generation 1, on which nothing lasting is at work."""
from __future__ import annotations

from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")


class StandingDomain:
    """It runs, or stands still."""

    runs = True

    def metadata(self, *_: Any) -> str:
        """The mark of onecore's."""
        return "<vm id='7' generation='1'/>"

    def state(self) -> tuple[int, int]:
        """As libvirt tells it."""
        return (libvirt.VIR_DOMAIN_RUNNING if self.runs else libvirt.VIR_DOMAIN_PAUSED), 0

    def jobInfo(self) -> list[int]:
        """Nothing is under way."""
        return [libvirt.VIR_DOMAIN_JOB_NONE]
