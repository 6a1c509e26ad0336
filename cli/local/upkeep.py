"""`onecore backup`, `onecore restore` and `onedb check`: what oned's own program does, with the same options."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from cli.errors import FAILED
from cli.local import launch
from cli.local.home import Home


def upkeep(verb: str, home: Home, arguments: Sequence[str]) -> int:
    """Run `oned VERB` on HOME; input and output are ours."""
    sys.stdout.flush()
    words = [sys.executable, "-m", "onecore", verb, "--home", str(home.path), *arguments]
    return FAILED if subprocess.run(words, env=launch.environment()).returncode else 0
