"""What a driver is: the errors it may raise and the context that each of its actions gets."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from drivers.token import Token
from onecore.wire.messages import Doc, News, Sample

T = TypeVar("T")


class DriverError(Exception):
    """An action did not succeed; the text is shown to the user.

    DriverError
    ├── Temporary   the same command may succeed later
    ├── Permanent   it will not
    └── Cancelled   it was told to stop, and nothing of it runs any more
    """

    temporary = False

    def __init__(self, text: str = "", data: Doc | None = None) -> None:
        super().__init__(text)
        self.data: Doc = dict(data or {})
        """What the result says besides: where a guest is that was to move."""


class Temporary(DriverError):
    """The same command may succeed later (host away, timeout, no space)."""

    temporary = True


class Permanent(DriverError):
    """Trying again is useless (no such file, bad request, superseded)."""


class Cancelled(DriverError):
    """The command was cancelled."""


@dataclass(frozen=True, slots=True)
class Program:
    """A Python program that is sent to a host and runs there from memory, with nothing but the standard library.

    `modules` are the dotted names of ours that it consists of (all below drivers.hand); `entry` is MODULE:FUNCTION,
    called with the argument and a `Wire` (drivers/hand/wire.py) to the driver.
    """

    entry: str
    modules: tuple[str, ...]


class Channel(Protocol):
    """A program at work on a host; documents go both ways."""

    def send(self, document: Doc) -> None:
        """Queue a document for the program; Temporary when the channel is closed."""
        ...

    def close(self) -> None:
        """End the program; it hears the end of its input."""
        ...


Tell = Callable[[int, int], None]
"""tell(bytes done, bytes in all)."""


class Executor(Protocol):
    """The only way to run a command or touch a file on a host: this machine's, or another's over SSH.

    Every method raises Temporary on a timeout or a lost host, Permanent when the command fails.
    """

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine, the front-end: its files are ours."""
        ...

    def insist(self) -> None:
        """Somebody wants to know how the host is now: connect at once, whatever failed a moment ago."""
        ...

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        """Run argv (never a shell string), return standard output; errors carry the tail of standard error."""
        ...

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file whole: temporary name, then rename."""
        ...

    def read(self, path: str) -> bytes:
        """The file's content."""
        ...

    def exists(self, path: str) -> bool:
        """Whether PATH is there."""
        ...

    def put(self, source: str, target: str, tell: Tell) -> None:
        """Copy the front-end's file SOURCE to TARGET on the host: sparse, complete and durable when this returns.

        TARGET is written in place (callers give a temporary name); what an earlier copy left there is replaced.
        """
        ...

    def get(self, source: str, target: str, tell: Tell) -> None:
        """Copy the host's file SOURCE to TARGET on the front-end, as put(); compared by SHA-256 on both sides."""
        ...

    def pass_on(self, source: str, target: str, other: Executor, tell: Tell) -> None:
        """Copy the host's file SOURCE to TARGET on the host OTHER, through this process; as put()."""
        ...

    def fence(self, vm_dir: str, order: tuple[int, int, int],
              wait: Callable[[float], None]) -> AbstractContextManager[None]:
        """Hold the VM's fence on the host as (epoch, generation, operation); see drivers/fence.py."""
        ...

    def start(self, program: Program, argument: Doc, hear: Callable[[Doc | None], None]) -> Channel:
        """Run PROGRAM on the host; HEAR gets each of its documents, and None once when it has ended.

        HEAR is called on a thread of the process and must not block.
        """
        ...

    def bound(self, token: Token, left: Callable[[], float]) -> Executor:
        """The same host under the same fences, stopped by TOKEN; LEFT gives the seconds that there are."""
        ...

    def relay(self, sockets: Sequence[str]) -> str:
        """A UNIX socket of this machine whose connections reach the first of the host's SOCKETS that is there."""
        ...


class Context(Protocol):
    """What the runner hands to an action: time, settings, the host, and a way to tell how it goes."""

    home: Path
    settings: Mapping[str, Any]
    rid: str

    @property
    def deadline(self) -> float:
        """Seconds of ctx.now() at which the command's time is up; progress() renews it."""
        ...

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Sleep; raises Cancelled when the command is cancelled meanwhile, Temporary when its time is up."""
        ...

    def check(self) -> None:
        """Raise Cancelled if the command was cancelled, Temporary if its time is up."""
        ...

    def progress(self, step: str, done: int = 0, total: int = 0) -> None:
        """Tell the core how far it is; renews the deadline.  Bytes when TOTAL is not 0."""
        ...

    def log(self, level: str, text: str) -> None:
        """A line for the core's and the VM's log."""
        ...

    def host(self, host: Doc) -> Executor:
        """The executor for a host (the front-end itself for datastore work: host {}), bound to this command."""
        ...

    def beyond(self, seconds: float) -> Context:
        """This command for SECONDS more, under the fences it holds, whatever becomes of its cancel and its time.

        For what has to be done all the same: to take back what it began, or to end what cannot be taken back.
        """
        ...

    def lasting(self, host: Doc) -> Executor:
        """An executor for what outlives the command; each of its calls ends by its own timeout (60 s if none)."""
        ...

    def emit(self, message: News | Sample) -> None:
        """Send news or a sample at any time, also after the action ended (watch)."""
        ...

    def keep(self, key: str, make: Callable[[], T]) -> T:
        """This process's object under KEY, made when first asked for; its `close()`, if any, is called at the end.

        For what outlives a command: connections, watches.  A driver keeps nothing in module globals.
        """
        ...


Action = Callable[[Context, Doc], Doc]
"""action(ctx, args) -> result data."""
