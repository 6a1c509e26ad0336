"""The fence drivers under the contract suite: dummy hosts, a service processor and a script of our own, locks."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from rig import Ground, Rig

from onecore.wire.messages import Doc

IPMITOOL = """#!/bin/sh
case "$*" in *status) ls {power}/* >/dev/null 2>&1 && echo Chassis Power is on || echo Chassis Power is off;;
             *off) rm -f {power}/*;; esac
"""
HOLD = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 101, 1, 0))
print(flush=True)
sys.stdin.read()
"""


def _host() -> Doc:
    return {"id": 3, "name": "node1", "im_mad": "kvm", "vm_mad": "kvm", "attrs": {"IPMI_ADDRESS": "bmc1"}}


def _vm(directory: Path, number: int) -> Doc:
    place = directory / "datastores" / "0" / str(number)
    place.mkdir(parents=True, exist_ok=True)
    (place / "disk.0").touch()
    return {"id": number, "generation": 1, "dir": str(place), "disks": [{"DISK_ID": "0", "TYPE": "FILE"}]}


def _by_files(directory: Path, guests: Path, settings: Doc) -> Ground:
    """A host whose guests are files: what is removed does not run."""
    guests.mkdir(parents=True, exist_ok=True)
    return Ground(home=directory, host=_host, vm=lambda number: _vm(directory, number), settings=settings,
                  begin=lambda _, vm: (guests / str(vm["id"])).write_text("1 running\n") and None,
                  runs=lambda _, vm: (guests / str(vm["id"])).exists())


@contextmanager
def _dummy(directory: Path) -> Iterator[Ground]:
    yield _by_files(directory, directory / "dummy" / "node1", {})


@contextmanager
def _script(directory: Path) -> Iterator[Ground]:
    guests = directory / "guests"
    program = directory / "fence"
    program.write_text(f'#!/bin/sh\n[ "$1" = node1 ] && rm -f {guests}/*\n')
    program.chmod(0o755)
    yield _by_files(directory, guests, {"script": {"path": str(program)}})


@contextmanager
def _ipmi(directory: Path) -> Iterator[Ground]:
    guests, programs = directory / "guests", directory / "bin"
    programs.mkdir()
    (programs / "ipmitool").write_text(IPMITOOL.format(power=guests))
    (programs / "ipmitool").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        yield _by_files(directory, guests, {"ipmi": {"poll": 0.01}})


@contextmanager
def _lease(directory: Path) -> Iterator[Ground]:
    here = subprocess.check_output(["findmnt", "-n", "-o", "FSTYPE", "--target", str(directory)], text=True).strip()
    running: set[int] = set()
    with ExitStack() as guests:
        def begin(_: Doc, vm: Doc) -> None:
            holder = subprocess.Popen([sys.executable, "-c", HOLD, f"{vm['dir']}/disk.0"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
            guests.callback(holder.communicate)
            assert holder.stdout is not None and holder.stdout.readline()
            running.add(vm["id"])

        yield Ground(home=directory, host=_host, vm=lambda number: _vm(directory, number), begin=begin,
                     settings={"lease": {"settle": 0, "file_systems": [here]}},
                     runs=lambda _, vm: vm["id"] in running)


RIGS = [Rig("fence", name, opened) for name, opened in (
    ("dummy", _dummy), ("script", _script), ("ipmi", _ipmi), ("lease", _lease))]
