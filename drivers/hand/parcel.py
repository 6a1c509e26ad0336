"""What is sent to a host to run a program there: a line for its shell, and the sources, compressed."""
from __future__ import annotations

import hashlib
import importlib.util
import json
import shlex
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_BASE = ("drivers.hand.wire",)
TOO_OLD = "Python 3.9 or newer is needed"
_START = f"""import os, sys
if sys.version_info < (3, 9):
    sys.exit("{TOO_OLD}, this is " + sys.version.split()[0])
import json, zlib
def take(size):
    got = b""
    while len(got) < size:
        more = os.read(0, size - len(got))
        if len(more) == 0:
            sys.exit("the channel closed before the program was here")
        got += more
    return got
parcel = json.loads(zlib.decompress(take(int.from_bytes(take(4), "big"))).decode())
space = dict(__name__="loading")
exec(compile(parcel["loader"], "drivers/hand/loading.py", "exec"), space)
space["begin"](parcel["modules"], parcel["entry"])
"""
BOOTSTRAP = f"exec({_START!r})"
"""The argument of `python3 -I -c`: one line that any Python 3 understands."""
_INTERPRETERS = ("python3", "/usr/bin/python3", "/usr/libexec/platform-python")
_FIND = (f"for p in {' '.join(_INTERPRETERS)}; do command -v $p >/dev/null 2>&1 && exec $p -I -c \"$1\"; done; "
         "echo no Python 3 on this host >&2; exit 127")


def shell_line(mark: str = "") -> str:
    """The only shell string that is ever sent to a host; MARK is the fence's that the program carries."""
    setting = f"ONECORE_FENCE={mark}; export ONECORE_FENCE; " if mark else ""
    return f"exec /bin/sh -c {shlex.quote(setting + _FIND)} sh {shlex.quote(BOOTSTRAP)}"


@cache
def sources(entry: str, modules: Iterable[str]) -> bytes:
    """What the bootstrap reads: its length and the sources of MODULES with ENTRY."""
    document = {"loader": _source("drivers.hand.loading"), "entry": entry,
                "modules": {name: _source(name) for name in (*_BASE, *modules)}}
    packed = zlib.compress(json.dumps(document).encode())
    return len(packed).to_bytes(4, "big") + packed


def version(entry: str, modules: tuple[str, ...]) -> str:
    """A short name of exactly these sources."""
    return hashlib.sha256(sources(entry, modules)).hexdigest()[:12]


@cache
def _source(name: str) -> str:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise LookupError(f"{name} is no module of ours")
    return Path(found.origin).read_text()
