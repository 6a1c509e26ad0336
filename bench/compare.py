"""The floor and onecore in one run: wrk against bench/floor.py and against a running oned, in turns, medians and ratio.

    python bench/compare.py --endpoint http://127.0.0.1:2633/RPC2 --auth user:password --vm 5 [--rounds 5] [--pid PID]

The servers are pinned to one core (oned only with --pid), wrk to another.  Needs wrk and taskset.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rig import wrk
from bench.rig.processes import Floor, cores, pin
from bench.rig.turns import Turns
from onecore.wire.client import Client


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--auth", required=True)
    parser.add_argument("--vm", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--pid", type=int, help="oned's process, to be pinned; it stays so")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = arguments()
    size = len(Client(args.endpoint, args.auth).text("one.vm.info", args.vm).encode())
    if args.pid:
        pin(args.pid, {cores()[0]})
    with tempfile.TemporaryDirectory() as name:
        floor = Floor(Path(name), size)
        try:
            floor.start()
            script = wrk.same_call(Path(name) / "info.lua", "one.vm.info", args.auth, args.vm)
            turns = Turns(floor, script, args.seconds)
            rate, beside = turns.rates(args.endpoint, script, args.rounds)
        finally:
            floor.end()
    print(f"answer {size} bytes; floor F {beside.floor:,.0f}/s ({min(turns.floors):,.0f}-{max(turns.floors):,.0f}); "
          f"vm.info {rate:,.0f}/s; ratio {rate / beside.floor:.2f} F{'' if beside.steady else ' (not steady)'}")


if __name__ == "__main__":
    main()
