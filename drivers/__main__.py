"""`python -m drivers FAMILY --read FD --write FD --home DIR`: a driver process; started by the core, not by hand."""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from drivers.process import serve
from drivers.registry import FAMILIES


def main() -> None:
    """Serve until the pipe closes; ends at once then, whatever threads a library left behind."""
    parser = argparse.ArgumentParser(prog="onedriver", description="A driver process of onecore, started by oned.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--read", type=int, required=True, metavar="FD", help="descriptor to read messages from")
    parser.add_argument("--write", type=int, required=True, metavar="FD", help="descriptor to write messages to")
    parser.add_argument("--home", type=Path, required=True, metavar="DIR", help="onecore's home directory")
    args = parser.parse_args()
    code = serve(args.family, args.read, args.write, args.home)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
