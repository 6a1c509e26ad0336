"""`python -m tests.fuzz`: what nobody expects, for every grammar and every method; docs/fuzzing.md tells more."""
from __future__ import annotations

import sys
from pathlib import Path

for _name in ("fuzz", "chaos", "functional", "testbed"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / _name))

from fuzz_cli import main  # noqa: E402 (the path is made above)

if __name__ == "__main__":
    sys.exit(main())
