"""Who carries an operation's mark: told by the environment, also while there is none for a moment."""
from __future__ import annotations

import select
import subprocess
import sys
from pathlib import Path

from ssh_ground import ends, soon

from drivers.hand import fence

THIS = [b"ONECORE_FENCE=this"]
BECOMING = ("import os,sys; n = int(sys.argv[1]); os.execv(sys.executable, [*sys.orig_argv[:4], str(n - 1)]) if n "
            "else print(flush=True) or sys.stdin.read()")


def test_a_process_that_becomes_another_program_is_never_taken_for_nobody() -> None:
    """Between its old environment and its new one it has none; a hundred times here."""
    seen = set[bool | None]()
    child = subprocess.Popen([sys.executable, "-SE", "-c", BECOMING, "100"], env={"ONECORE_FENCE": "this"},
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        while not select.select([child.stdout], [], [], 0)[0]:
            seen.add(fence._carries(child.pid, THIS))
        assert True in seen and False not in seen
        assert fence._carriers(THIS)[0] == [child.pid]
        assert fence.end_all(["that"]) and child.poll() is None
        assert fence.end_all(["this"]) and ends(child.pid)


def test_what_has_no_environment_holds_up_nobody() -> None:
    bare = subprocess.Popen(["sleep", "60"], env={})
    soon(lambda: Path(f"/proc/{bare.pid}/comm").read_text() == "sleep\n")
    soon(lambda: fence._carries(bare.pid, THIS) is False)
    assert fence._carries(2, THIS) is False
    bare.kill()
    assert fence._carries(bare.pid, THIS) in (False, None)
    bare.wait()
