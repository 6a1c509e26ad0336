"""Calls in the raw, calls that must be refused, and the state of the cloud to compare before and after."""
from __future__ import annotations

import http.client
import re
import time

from cloud_process import Cloud

from onecore.wire.client import Client, ClientError

AUTHENTICATION, AUTHORIZATION, NO_EXISTS, ACTION, RPC_API = 0x0100, 0x0200, 0x0400, 0x0800, 0x1000
INTERNAL, ALLOCATE, LOCKED = 0x2000, 0x4000, 0x8000
_POOLS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("one.vmpool.infoextended", (-2, -1, -1, -1)), ("one.hostpool.info", ()), ("one.imagepool.info", (-2, -1, -1)),
    ("one.templatepool.info", (-2, -1, -1)), ("one.datastorepool.info", ()), ("one.clusterpool.info", ()),
    ("one.userpool.info", ()), ("one.grouppool.info", ()), ("one.acl.info", ()))
_MONITORED = re.compile(r"<MONITORING>.*?</MONITORING>|<LAST_POLL>\d+</LAST_POLL>|<NEXT_INDEX>\d+</NEXT_INDEX>"
                        r"|<TOTAL_(?:WILDS|ZOMBIES)>\d+</TOTAL_(?:WILDS|ZOMBIES)>|<(WILDS|ZOMBIES)>.*?</\1>", re.S)


def snapshot(cloud: Cloud) -> dict[str, str]:
    """Every body of the cloud, leases included, but for what monitoring changes."""
    found = {method: cloud.client.text(method, *arguments) for method, arguments in _POOLS}
    for oid in re.findall(r"<VNET><ID>(\d+)", cloud.client.text("one.vnpool.info", -2, -1, -1)):
        found[f"vnet {oid}"] = cloud.client.text("one.vn.info", int(oid))
    return {name: unmonitored(body) for name, body in found.items()}


def unmonitored(body: str) -> str:
    """The body of an object or of a pool, but for what monitoring changes."""
    return _MONITORED.sub("", body)


def refused(client: Client, code: int, method: str, *arguments: object) -> str:
    """The text of a call that must be refused with CODE; it begins with the method's name."""
    try:
        value = client.call(method, *arguments)
    except ClientError as error:
        assert error.code == code, f"{method}{arguments!r:.200}: 0x{error.code:04x} {error}"
        assert str(error).startswith(f"[{method}] "), error
        return str(error)
    raise AssertionError(f"{method}{arguments!r:.200} was accepted: {value!r:.200}")


def post(cloud: Cloud, body: bytes, method: str = "POST", path: str = "/RPC2") -> tuple[int, bytes]:
    """Status and body of one HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def call_xml(method: str, *values: str) -> bytes:
    """A methodCall whose arguments are given as the XML inside <value>."""
    parameters = "".join(f"<param><value>{value}</value></param>" for value in values)
    return (f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName>"
            f"<params>{parameters}</params></methodCall>").encode()


def _let_rest(cloud: Cloud) -> None:
    """Let what earlier tests began come to its end: first looks at hosts, and operations but those that never end."""
    for _ in range(60):
        if cloud.client.text("onecore.op.list") == "[]" and "<STATE>0</STATE>" not in cloud.client.text(
                "one.hostpool.info"):
            return
        time.sleep(0.05)


class Watch:
    """A cloud that is to stay as it is."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._log = cloud, cloud.home / "log" / "oned.log"
        _let_rest(cloud)
        self.begin()

    def begin(self) -> None:
        """What is now is how it is to stay."""
        self._state, self._read = snapshot(self._cloud), self._log.stat().st_size

    def check(self) -> None:
        """Assert that nothing changed, and that the log tells of no bug, since the last look."""
        before, end = self._state, self._read
        self.begin()
        assert self._state == before, [name for name in self._state if self._state[name] != before.get(name)]
        with self._log.open("rb") as log:
            log.seek(end)
            told = log.read().decode()
        assert "Traceback" not in told and " E " not in told, told
