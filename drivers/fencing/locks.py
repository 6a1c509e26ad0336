"""Whether a QEMU somewhere has a disk open for writing: a program of its own, as a dead file system may hang it.

QEMU (block/file-posix.c) marks what it does with a file by locks on single bytes: byte 100 + N is locked while it uses
permission N; permission 1 is writing.  The locks are `open file description` locks, which file servers share as they do
other POSIX locks.  Testing takes none.
"""
from __future__ import annotations

import fcntl
import os
import struct
import sys

WRITES = 101
"""The byte that is locked as long as a QEMU may write to the file."""
_FLOCK = "hhqqi4x"


def is_locked(path: str) -> bool:
    """Whether anybody but this process holds that lock on PATH; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, WRITES, 1, 0)
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)


def main(paths: list[str]) -> int:
    """Print those of PATHS that are locked; 1 and the reason when one cannot be tested."""
    for path in paths:
        try:
            if is_locked(path):
                sys.stdout.write(f"{path}\n")
        except OSError as error:
            sys.stderr.write(f"{path}: {error.strerror}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
