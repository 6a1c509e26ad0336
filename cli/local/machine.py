"""What `doctor` asks of this machine: plain questions, no judgement, so that tests can answer them."""

from __future__ import annotations

import getpass
import grp
import importlib.util
import os
import platform
import pwd
import shutil
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


class Machine:
    """The machine that this process runs on."""

    def __init__(self) -> None:
        self.python = tuple(sys.version_info[:3])
        self.executable = sys.executable
        self.architecture = platform.machine()
        self.root = os.geteuid() == 0
        self.user = getpass.getuser()

    def which(self, name: str) -> str | None:
        """The path of a program, also where only root looks for programs."""
        return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")

    def importable(self, module: str) -> bool:
        """Whether Python finds a module."""
        return importlib.util.find_spec(module) is not None

    def exists(self, path: str) -> bool:
        """Whether there is something at PATH."""
        return os.path.exists(path)

    def readable(self, path: str) -> bool:
        """Whether PATH may be read and written."""
        return os.access(path, os.R_OK | os.W_OK)

    def writable(self, path: Path) -> bool:
        """Whether PATH, or the nearest directory above it that exists, may be written."""
        return os.access(_nearest(path), os.W_OK | os.X_OK)

    def free_mb(self, path: Path) -> int:
        """MB free where PATH is or would be."""
        return shutil.disk_usage(_nearest(path)).free // (1024 * 1024)

    def connects(self, path: str) -> bool:
        """Whether something answers on a Unix socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(path)
            except OSError:
                return False
        return True

    def port(self, endpoint: str) -> int:
        """The port in a URL."""
        return urlsplit(endpoint).port or 80

    def listens(self, endpoint: str) -> bool:
        """Whether something listens at a URL."""
        from cli.local.launch import port_taken

        return port_taken(endpoint)

    def account(self, name: str) -> bool:
        """Whether there is a user of that name."""
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def groups(self) -> set[str]:
        """Names of the groups of this process."""
        names = set()
        for gid in {os.getegid(), *os.getgroups()}:
            try:
                names.add(grp.getgrgid(gid).gr_name)
            except KeyError:
                continue
        return names

    def now(self) -> float:
        """The time of day in epoch seconds."""
        return time.time()


def _nearest(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
