"""Why something on a host did not work, in the words of the operating system."""
from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_FOR_NOW = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class Failure(Exception):
    """It did not work; `temporary` says whether the same may succeed later."""

    def __init__(self, text: str, temporary: bool = False) -> None:
        super().__init__(text)
        self.temporary = temporary


@contextmanager
def os_failures(subject: str) -> Iterator[None]:
    """The operating system's refusals as failures about SUBJECT."""
    try:
        yield
    except OSError as error:
        raise Failure(f"{subject}: {error.strerror or error}", error.errno in _FOR_NOW) from error
