"""The script of the dummy drivers of a home (docs/drivers.md)."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def give(home: Path, script: Mapping[str, object]) -> None:
    """Have HOME's dummy drivers follow SCRIPT from their next action on.

    A file of its own takes the old one's place: it is there whole, and tells itself from one of the same moment.
    """
    partial = home / "dummy.json.part"
    partial.write_text(json.dumps(script))
    partial.replace(home / "dummy.json")
