"""Messages between the core and its driver processes: length-prefixed JSON on dedicated file descriptors.

A frame is four bytes (big-endian length) and a JSON object with a key `t`, the type.  Units: seconds, MB, bytes.
"""
from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

PROTOCOL = 1
MAX_FRAME = 16 * 1024 * 1024
Doc = dict[str, Any]
"""A JSON object: what hosts, VMs, disks, images and datastores look like to a driver (docs/drivers.md)."""


_BAD_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_SUSPECT = re.compile(rb"\\[ubf]|[\x80-\xff]")
"""What JSON may write such a character as."""


class FrameError(ValueError):
    """The stream is not what this protocol writes."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First in both directions.  The core gives its epoch and settings, the driver its family."""

    t: ClassVar[str] = "hello"
    protocol: int = PROTOCOL
    epoch: int = 0
    family: str = ""
    pid: int = 0
    settings: Doc = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """Do ACTION with driver DRIVER in LANE.  `object` is (kind, id); `generation` is the VM's; `timeout` in seconds."""

    t: ClassVar[str] = "command"
    op: int
    attempt: int
    epoch: int
    generation: int
    lane: str
    driver: str
    action: str
    object: tuple[str, int]
    timeout: float
    rid: str = ""
    args: Doc = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the command of OP, ATTEMPT; its Result still comes, with cancelled true."""

    t: ClassVar[str] = "cancel"
    op: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A running command moved on: renews its deadline."""

    t: ClassVar[str] = "progress"
    op: int
    attempt: int
    step: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A command ended.  `temporary`: the same command may succeed later.  `cancelled`: nothing of it runs any more."""

    t: ClassVar[str] = "result"
    op: int
    attempt: int
    epoch: int
    ok: bool
    error: str = ""
    temporary: bool = False
    cancelled: bool = False
    data: Doc = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """A domain changed on its own.  `state`: running, poweroff, crashed, suspended, gone."""

    t: ClassVar[str] = "news"
    hid: int
    vm: int
    generation: int
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One monitoring message of one host.  `host`, `vms` and `datastores` as docs/drivers.md gives them.

    `error` not empty: the host could not be asked.  `roster` true: `vms` names every domain of ours on the host.
    """

    t: ClassVar[str] = "sample"
    hid: int
    time: int
    error: str = ""
    roster: bool = True
    host: Doc = field(default_factory=dict)
    vms: list[Doc] = field(default_factory=list)
    datastores: list[Doc] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the core's log and, with `vm` >= 0, the VM's own."""

    t: ClassVar[str] = "log"
    level: str
    text: str
    vm: int = -1
    rid: str = ""


Message = Hello | Command | Cancel | Progress | Result | News | Sample | Log
_TYPES: dict[str, type[Any]] = {c.t: c for c in (Hello, Command, Cancel, Progress, Result, News, Sample, Log)}


def encode(message: Message) -> bytes:
    """One frame."""
    fields = {name: getattr(message, name) for name in message.__slots__}
    body = json.dumps({"t": message.t, **fields}, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME:
        raise FrameError(f"a {message.t} of {len(body)} bytes is over the limit of {MAX_FRAME}")
    return struct.pack(">I", len(body)) + body


def decode(body: bytes) -> Message:
    """The message in a frame's body; unknown keys are ignored so that either side may be newer."""
    try:
        data = _clean(json.loads(body)) if _SUSPECT.search(body) else json.loads(body)
        made = _TYPES[data.pop("t")]
        known = {k: v for k, v in data.items() if k in made.__dataclass_fields__}
        if made is Command:
            known["object"] = (str(known["object"][0]), int(known["object"][1]))
        message: Message = made(**known)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FrameError(f"not a message: {error!r}") from None
    return message


def _clean(value: Any) -> Any:
    """VALUE with the characters that XML cannot carry (a tool may print any) replaced, as records may not hold them."""
    if isinstance(value, str):
        return _BAD_CHARACTER.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, list) else value


class Frames:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that DATA completes; raises FrameError."""
        self._buffer += data
        while len(self._buffer) >= 4:
            (size,) = struct.unpack_from(">I", self._buffer)
            if size > MAX_FRAME:
                raise FrameError(f"a frame of {size} bytes is over the limit of {MAX_FRAME}")
            if len(self._buffer) < 4 + size:
                return
            body = bytes(self._buffer[4:4 + size])
            del self._buffer[:4 + size]
            yield decode(body)
