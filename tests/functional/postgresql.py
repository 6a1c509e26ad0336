"""A private PostgreSQL cluster for the tests: made by initdb in a temporary directory, on a free loopback port."""
from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from cloud_process import free_port

USER = "onecore"


def binaries() -> Path | None:
    """Where the newest server's programs are, None when none is installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    on_path = shutil.which("initdb")
    return Path(found[-1]).parent if found else Path(on_path).parent if on_path else None


class Cluster:
    """One server; `database()` makes an empty database and returns its URL."""

    def __init__(self, programs: Path) -> None:
        self._programs, self.port = programs, free_port()
        self._numbers = count(1)
        self.directory = Path(tempfile.mkdtemp(prefix="onecore-postgresql-"))
        if os.geteuid() == 0:  # the server refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)

    def start(self) -> Cluster:
        """Make the cluster and start the server."""
        self._run("initdb", "-D", str(self.directory / "data"), "-A", "trust", "-U", USER, "--no-sync")
        options = (f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1"
                   " -c fsync=off")  # the server is killed in tests, this machine is not: what was written is there
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-o", options, "-l", str(self.directory / "log"), "-w",
                  "start")
        return self

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"cloud{next(self._numbers)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name)
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def cut(self) -> None:
        """End all connections to all databases."""
        self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", "postgres", "-c",
                  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                  "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")

    def restart(self) -> None:
        """The server crashes and comes back."""
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "-w", "-l",
                  str(self.directory / "log"), "restart")

    def stop(self) -> None:
        """End the server, remove its files."""
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs; its output goes to a file, as pg_ctl hands it on to the server."""
        told = self.directory / f"{program}.out"
        with told.open("w") as out:
            done = subprocess.run([str(self._programs / program), *arguments], stdout=out, stderr=out, timeout=110,
                                  stdin=subprocess.DEVNULL, cwd=self.directory,
                                  user="postgres" if os.geteuid() == 0 else None)
        if done.returncode:
            raise RuntimeError(f"{program}: {told.read_text()}")
