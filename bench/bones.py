#!/usr/bin/env python3
"""bones: the bones' figures of onecore in one run, beside the floor of the same minutes.

Starts its own oned, onesched and floor server in a new home, measures, ends them, prints a markdown table and, with
--json, keeps all figures.  Needs wrk, taskset and two cores; docs/benchmarks.md says what each figure means.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.endpoint.clients import CallError
from bench.rig import filling, living, wrk
from bench.rig.processes import ROOT, Cloud, Failed, Floor, cores
from bench.rig.scene import Scene, Sizes, furnish
from bench.rig.sheet import Sheet
from bench.rig.turns import Turns
from onecore.wire.client import ClientError


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("/var/tmp"),
                        help="directory for the homes; its disk decides what durable costs (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes; goals are not for this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures here")
    parser.add_argument("--keep", action="store_true", help="leave the homes with database and logs")
    return parser.parse_args(argv)


class Run:
    """One run: what it started and what it found."""

    def __init__(self, directory: Path, sizes: Sizes, sheet: Sheet, stack: contextlib.ExitStack) -> None:
        self.directory, self.sizes, self.sheet, self._stack = directory, sizes, sheet, stack

    def measure(self) -> None:
        """Both scenes; the floor answers as many bytes as vm.info of a VM of this run."""
        cloud = self._cloud("filling")
        size, script = self._sample(cloud)
        floor = Floor(self.directory, size)
        self._stack.callback(floor.end)
        floor.start()
        self.turns = Turns(floor, script, self.sizes.seconds)
        self.turns.read_floor()  # the first run of both is not counted
        self.turns.floors.clear()
        self._scene("filling", cloud, filling.fill)
        self._scene("living", self._cloud("living"), living.live)

    def floor(self) -> None:
        """Put F on the sheet, once all is measured, or as much as there was time for."""
        turns = getattr(self, "turns", None)
        if turns and turns.floors:
            self.sheet.floor(turns.floors, statistics.median(turns.floors), turns.floor.size)

    def _cloud(self, name: str) -> Cloud:
        cloud = Cloud(self.directory / name)
        self._stack.callback(cloud.end)
        cloud.start()
        furnish(cloud)
        return cloud

    def _sample(self, cloud: Cloud) -> tuple[int, Path]:
        """Size of the body of a VM, and wrk's script for the floor: its vm.info."""
        client = cloud.client()
        vm = client.number("one.vm.allocate", filling.sample(), True)
        size = len(client.text("one.vm.info", vm).encode())
        client.close()
        return size, wrk.same_call(self.directory / "floor.lua", "one.vm.info", cloud.auth, vm)

    def _scene(self, name: str, cloud: Cloud, play: Callable[[Scene], None]) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
        play(Scene(cloud, self.turns, self.sheet, self.sizes, self.directory))
        cloud.end()


def machine(home: Path) -> dict[str, object]:
    """Where it was measured."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(home)], capture_output=True, text=True).stdout.strip()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release(),
            "filesystem": kind, "commit": commit.stdout.strip(), "date": time.strftime("%Y-%m-%d"),
            "load": round(os.getloadavg()[0], 2)}


def report(sheet: Sheet, where: dict[str, object], args: argparse.Namespace, seconds: float) -> None:
    """Print the table; keep the JSON."""
    print(sheet.table())
    print("\n" + ", ".join(f"{name} {value}" for name, value in where.items()) + f"; {seconds:.0f} s"
          + ("; a quick run: a tenth of the sizes, the goals are not for it" if args.quick else ""))
    if any(not row.steady for row in sheet.rows):
        print("~ the floors beside it differ by more than 15 %: something else used the machine, measure again")
    if args.json:
        args.json.write_text(json.dumps({"machine": where, "quick": args.quick, "seconds": round(seconds, 1),
                                         "figures": sheet.values()}, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all; 1 when something failed (what was measured until then is printed)."""
    args = arguments(argv)
    missing = [name for name in ("wrk", "taskset") if not shutil.which(name)]
    if missing:
        print(f"bones: {' and '.join(missing)} not found: apt install wrk util-linux", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _terminated)
    args.home.mkdir(parents=True, exist_ok=True)
    begun, where, sheet = time.monotonic(), machine(args.home), Sheet(not args.quick)
    directory, code = Path(tempfile.mkdtemp(prefix="bones-", dir=args.home)), 0
    with contextlib.ExitStack() as stack:
        stack.callback(_clear, directory, args.keep)
        run = Run(directory, Sizes.quick() if args.quick else Sizes(), sheet, stack)
        try:
            cores()
            run.measure()
        except (Failed, CallError, ClientError, OSError, KeyboardInterrupt) as error:
            print(f"bones: {str(error) or 'interrupted'}", file=sys.stderr)
            code = 1
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    run.floor()
    report(sheet, where, args, time.monotonic() - begun)
    return code


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _clear(directory: Path, keep: bool) -> None:
    if keep:
        print(f"kept {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
