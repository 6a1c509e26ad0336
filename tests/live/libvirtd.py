"""A libvirt for the tests: the one that answers, or one of their own that ends with them."""
from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "libvirtd.sh"


@cache
def missing() -> str:
    """Why there is no libvirt for the tests; '' when qemu:///system answers, started by us if need be."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("qemu-system-x86_64", "virsh"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return "needs libvirt-python"
    if _run("status", "/nowhere").returncode == 0:
        return ""
    directory = tempfile.mkdtemp(prefix="onecore-libvirtd-")
    started = _run("start", directory)
    atexit.register(lambda: (_run("stop", directory), shutil.rmtree(directory, ignore_errors=True)))
    return "" if started.returncode == 0 else started.stderr.strip() or started.stdout.strip()


def need() -> None:
    """Skip the test, with the reason, where there is no libvirt."""
    if missing():
        pytest.skip(missing())


def _run(action: str, directory: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SCRIPT), action, directory], capture_output=True, text=True, timeout=600)
