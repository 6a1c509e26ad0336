"""Which taps are removed: those of VMs that nobody holds, and no other device."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from drivers.base import Permanent
from drivers.net.taps import untap


class FakeHost:
    """A host with network devices: name -> (is a tap, content of its carrier file; None: it is down)."""

    def __init__(self, **devices: tuple[bool, bytes | None]) -> None:
        self.devices = {name.replace("_", "-"): known for name, known in devices.items()}

    def exists(self, path: str) -> bool:
        name, _, file = path.removeprefix("/sys/class/net/").partition("/")
        return name in self.devices and (not file or self.devices[name][0])

    def read(self, path: str) -> bytes:
        carrier = self.devices[path.split("/")[4]][1]
        if carrier is None:
            raise Permanent("Invalid argument")
        return carrier

    def run(self, argv: Sequence[str]) -> str:
        assert list(argv[:4]) == ["ip", "link", "delete", "dev"]
        del self.devices[argv[4]]
        return ""


def _do(host: FakeHost, *names: str) -> None:
    class Here:
        """A context that leads to HOST."""

        def host(self, _: Any) -> FakeHost:
            return host
    assert untap(Here(), {"host": {}, "taps": list(names)}) == {}  # type: ignore[arg-type]


def test_taps_that_nobody_holds_go() -> None:
    host = FakeHost(one_9_0=(True, b"0\n"), one_9_1=(True, None), one_8_0=(True, b"0\n"))
    _do(host, "one-9-0", "one-9-1", "one-7-0")
    assert list(host.devices) == ["one-8-0"]
    _do(host, "one-9-0")


@pytest.mark.parametrize("name", ["one-1-0", "one-2-0", "vnet7", "eth0", "one-1", "one-1-0;reboot", "../one-1-0"])
def test_anything_else_stays(name: str) -> None:
    host = FakeHost(one_1_0=(True, b"1\n"), one_2_0=(False, b"0\n"), vnet7=(True, b"0\n"), eth0=(False, b"1\n"))
    with pytest.raises(Permanent):
        _do(host, name)
    assert len(host.devices) == 4
