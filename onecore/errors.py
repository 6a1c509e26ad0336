"""The errors of the core, each with its API code.

OneError
├── AuthenticationFailed  0x0100   the session string is refused
├── Forbidden             0x0200   permission, ACL or quota says no
├── NoExists              0x0400   no object of that id
├── WrongState            0x0800   not possible in this state (raised by state tables only)
├── BadArgument           0x1000   an argument's value is wrong; the text names it and what was expected
├── Internal              0x2000   a bug, the database or a driver
├── NotAllocated          0x4000   could not be created
├── TooMuch               0x0800   the user asks more than one may at once
└── Locked                0x8000   the object is locked
NotReady                           no state to answer from yet or any more (HTTP 503)
"""


class OneError(Exception):
    """What an API call answers with when it does not succeed."""

    code = 0x2000

    def __init__(self, text: str, oid: int = -1) -> None:
        super().__init__(text)
        self.text, self.oid = text, oid


class AuthenticationFailed(OneError):
    """The session string is refused."""

    code = 0x0100


class Forbidden(OneError):
    """The caller may not do this."""

    code = 0x0200


class NoExists(OneError):
    """There is no such object."""

    code = 0x0400


class WrongState(OneError):
    """The object's state does not allow it."""

    code = 0x0800


class TooMuch(OneError):
    """The user asks more than one may at once; later it is fine."""

    code = 0x0800


class BadArgument(OneError):
    """An argument's value is wrong."""

    code = 0x1000


class Internal(OneError):
    """Not the caller's fault."""

    code = 0x2000


class NotAllocated(OneError):
    """The object could not be created."""

    code = 0x4000


class Locked(OneError):
    """The object is locked against this."""

    code = 0x8000


class NotReady(Exception):
    """The core holds no state right now: starting, or loading again after a failed commit."""
