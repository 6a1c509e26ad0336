"""The floor and onecore in one run: wrk against bench/floor.py and against a running oned, in turns, medians and ratio.

    python bench/compare.py --endpoint http://127.0.0.1:2633/RPC2 --auth user:password --vm 5 [--rounds 5] [--pid PID]

The servers are pinned to core 0, wrk to core 1.  Needs wrk and taskset.
"""
from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from onecore.wire.client import Client
from onecore.wire.xmlrpc import encode_call

HERE = Path(__file__).parent


def lua(call: bytes, directory: Path, name: str) -> Path:
    """A wrk script that posts CALL."""
    path = directory / f"{name}.lua"
    body = call.decode().replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    path.write_text(f'wrk.method="POST"\nwrk.headers["Content-Type"]="text/xml"\nwrk.body="{body}"\n')
    return path


def rate(url: str, script: Path, seconds: int, clients: int) -> float:
    """Requests a second by wrk on core 1; raises when an answer was not 2xx."""
    done = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), url],
                          capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout).group(1))  # type: ignore[union-attr]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--auth", required=True)
    parser.add_argument("--vm", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pid", type=int)
    args = parser.parse_args()
    call = encode_call("one.vm.info", (args.auth, args.vm))
    answer = len(Client(args.endpoint, args.auth).text("one.vm.info", args.vm))
    if args.pid:
        subprocess.run(["taskset", "-a", "-cp", "0", str(args.pid)], capture_output=True, check=True)
    floor = subprocess.Popen(["taskset", "-c", "0", sys.executable, "-m", "uvicorn", "floor:app", "--loop", "uvloop", "--http", "httptools",
                              "--port", "2699", "--log-level", "error"], cwd=HERE, env={**os.environ, "SIZE": str(answer)})
    time.sleep(2)
    try:
        with tempfile.TemporaryDirectory() as name:
            script = lua(call, Path(name), "info")
            floors, ours = [], []
            for _ in range(args.rounds):
                floors.append(rate("http://127.0.0.1:2699/RPC2", script, args.seconds, args.clients))
                ours.append(rate(args.endpoint, script, args.seconds, args.clients))
    finally:
        floor.terminate()
        floor.wait()
    f, o = statistics.median(floors), statistics.median(ours)
    print(f"answer {answer} bytes; floor F {f:,.0f}/s ({min(floors):,.0f}-{max(floors):,.0f}); vm.info {o:,.0f}/s "
          f"({min(ours):,.0f}-{max(ours):,.0f}); ratio {o / f:.2f} F")


if __name__ == "__main__":
    main()
