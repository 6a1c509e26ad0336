"""Files that only their owner may read: sessions and where they lead."""

from __future__ import annotations

import os
from pathlib import Path


def store(path: Path, text: str) -> None:
    """Write TEXT to PATH, readable by its owner only, complete or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
