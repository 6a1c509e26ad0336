"""`python -m tests.chaos`: clouds that are struck at named points, thousands of times; docs/chaos.md tells more."""
from __future__ import annotations

import sys
from pathlib import Path

for _name in ("chaos", "functional", "testbed"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / _name))

from chaos_cli import main  # noqa: E402 (the path is made above)

if __name__ == "__main__":
    sys.exit(main())
