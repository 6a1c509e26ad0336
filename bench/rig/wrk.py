"""wrk with XML-RPC calls, pinned to a core of its own."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench.rig.processes import Failed, cores
from onecore.wire.xmlrpc import encode_call

CLIENTS = 32
_HEAD = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "text/xml"\n'
_TURNS = """local calls, turn = {{}}, 0
function init(arguments)
  for id = {first}, {last} do calls[#calls + 1] = wrk.format(nil, nil, nil, "{head}" .. id .. "{tail}") end
end
function request()
  turn = turn % #calls + 1
  return calls[turn]
end
"""
_PLACE = 1_234_567_890
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _quoted(call: bytes) -> str:
    return call.decode().replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def same_call(path: Path, method: str, *arguments: object) -> Path:
    """A script for wrk that posts the same call each time."""
    path.write_text(f'{_HEAD}wrk.body = "{_quoted(encode_call(method, arguments))}"\n')
    return path


def calls_in_turn(path: Path, method: str, auth: str, first: int, last: int) -> Path:
    """A script for wrk that posts METHOD of the ids FIRST to LAST, one after the other."""
    head, _, tail = _quoted(encode_call(method, (auth, _PLACE))).partition(str(_PLACE))
    path.write_text(_HEAD + _TURNS.format(first=first, last=last, head=head, tail=tail))
    return path


def rate(url: str, script: Path, seconds: int, least: int, clients: int = CLIENTS) -> float:
    """Answers a second; raises Failed when one was not 2xx or did not come, or they had less than LEAST bytes each.

    A refusal is a short answer with status 200, and a quick one: it must not pass for a good figure.
    """
    command = ["taskset", "-c", str(cores()[1]), "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    found = re.search(r"([\d.]+)([KMG]?)B read\s*Requests/sec:\s*([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode or not found or not count or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise Failed(f"wrk on {url}: {done.stdout}{done.stderr}")
    each = float(found.group(1)) * _UNITS[found.group(2)] / max(1, int(count.group(1)))
    if each < least:
        raise Failed(f"{url} answered with {each:.0f} bytes a call, not with {least} or more: it refuses")
    return float(found.group(3))
