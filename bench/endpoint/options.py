"""The options of onebench."""
from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """One field an option."""

    endpoint: str = "http://127.0.0.1:2633/RPC2"
    auth: str = "oneadmin:opennebula"
    out: str = ""
    label: str = ""
    pid: int | None = None
    db: str = ""
    client: str = "std"
    n: int = 1000
    conc: int = 1
    procs: int = 4
    quiet: float = 0.0
    nets: int = 40
    secs: float = 6.0
    method: str = "one.vm.info"
    args: str = "[]"
    via: str = "allocate"
    tid: int | None = None
    template: str = "full"
    run: bool = False
    prefix: str = "bh"
    im: str = "dummy"
    vm: str = "dummy"
    tm: str = "dummy"
    ds: str = "dummy"
    vn: str = "dummy"
    wait: float = 600.0
    poll: float = 0.5
    reps: int = 5
    only: str = ""
    all: bool = False


HELP = {
    "endpoint": "URL (default: $ONE_XMLRPC, else port 2633 here)",
    "auth": "user:password (default: the file $ONE_AUTH, else oneadmin:opennebula)",
    "out": "append the lines to this file",
    "label": "a word for each line",
    "pid": "the server's process, for its CPU and memory",
    "db": "the server's database file, for its size",
    "n": "how many", "conc": "clients at the same time",
    "procs": "processes that the clients of load are spread over",
    "quiet": "wait up to so many seconds for a quiet machine before each measurement",
    "nets": "networks and images that the VMs are spread over",
    "secs": "how long load goes on",
    "method": "what load calls; `mixed` is info, update and allocate",
    "args": "its arguments as a JSON array",
    "tid": "template of instantiate (default: btpl)",
    "run": "PENDING rather than HOLD",
    "prefix": "begin of host names",
    "im": "IM_MAD", "vm": "VM_MAD", "tm": "TM_MAD", "ds": "DS_MAD", "vn": "VN_MAD",
    "wait": "most seconds to wait for an end", "poll": "seconds between two looks",
    "reps": "calls of each pool", "only": "one method of pools",
    "all": "every VM (terminate does no less)",
}
CHOICES = {"client": ("std", "lean"), "via": ("allocate", "instantiate"), "template": ("bare", "full")}


def parse(argv: Sequence[str] | None, commands: Iterable[str], about: str) -> tuple[str, Options]:
    """The command and its options."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cmd", choices=list(commands), metavar="command", help=", ".join(commands))
    for field in fields(Options):
        _add(parser, field.name, field.default)
    given = vars(parser.parse_args(argv))
    return given.pop("cmd"), Options(**given)


def _add(parser: argparse.ArgumentParser, name: str, default: object) -> None:
    if isinstance(default, bool):
        parser.add_argument(f"--{name}", action="store_true", help=HELP.get(name))
        return
    kind = int if default is None else type(default)
    default = {"endpoint": _endpoint, "auth": _auth}[name](str(default)) if name in ("endpoint", "auth") else default
    parser.add_argument(f"--{name}", type=kind, default=default, choices=CHOICES.get(name), help=HELP.get(name))


def _endpoint(otherwise: str) -> str:
    return os.environ.get("ONE_XMLRPC", otherwise)


def _auth(otherwise: str) -> str:
    path = os.environ.get("ONE_AUTH")
    return Path(path).read_text().strip() if path and Path(path).is_file() else otherwise
