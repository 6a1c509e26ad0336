"""hook/script: runs the program of a hook, on the front-end or on a host, and tells how it ended, whatever that is."""
from __future__ import annotations

import json

from drivers.base import Action, Context
from onecore.wire.messages import Doc

_RUN = """import json, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=sys.stdin, capture_output=True)
told = {"code": done.returncode, "stdout": done.stdout[-32768:].decode(errors="replace"),
        "stderr": done.stderr[-32768:].decode(errors="replace")}
print(json.dumps(told))"""
"""A program that fails is no failure of the command: its code and what it wrote are the answer."""


def hook(ctx: Context, args: Doc) -> Doc:
    """argv ran with stdin (texts) until it ended or the command's time was up: `{"code", "stdout", "stderr"}`."""
    out = ctx.host(args.get("host") or {}).run(["python3", "-I", "-c", _RUN, *args["argv"]],
                                               stdin=str(args.get("stdin", "")).encode())
    told: Doc = json.loads(out)
    return told


ACTIONS: dict[str, Action] = {"hook": hook}
