"""The home directory of oned as the command line sees it: its files, its endpoint, and who runs there."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

PORT = 2633


@dataclass(frozen=True, slots=True)
class Home:
    """A home directory and the files in it."""

    path: Path

    @property
    def auth(self) -> Path:
        """Credentials of oneadmin."""
        return self.path / "one_auth"

    @property
    def config(self) -> Path:
        """Configuration of oned, where there is one."""
        return self.path / "oned.conf"

    @property
    def run(self) -> Path:
        """Directory of pid files and of the endpoint that was last used."""
        return self.path / "run"

    @property
    def log(self) -> Path:
        """Directory of logs."""
        return self.path / "log"

    def daemons(self) -> tuple[Daemon, Daemon]:
        """The match-maker and the core, in the order in which they are stopped."""
        return Daemon("onesched", self.run / "onesched.pid"), Daemon("oned", self.run / "oned.pid")

    def endpoint(self) -> str:
        """The URL of its oned: where it was started, else where it would be."""
        stored = self.run / "endpoint"
        running = self.daemons()[1].pid() is not None and stored.is_file()
        return stored.read_text(encoding="utf-8").strip() if running else self.configured()

    def configured(self, port: int | None = None) -> str:
        """The URL that its configuration gives, with PORT on top."""
        server = self._server()
        listen = str(server.get("listen", ""))
        host = listen if listen not in ("", "0.0.0.0", "::") else "127.0.0.1"
        scheme = "https" if server.get("tls_cert") else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or server.get('port', PORT)}/RPC2"

    def _server(self) -> dict[str, object]:
        import tomllib

        try:
            server = tomllib.loads(self.config.read_text(encoding="utf-8")).get("server", {})
        except (OSError, tomllib.TOMLDecodeError):  # oned says what is wrong with it
            return {}
        return server if isinstance(server, dict) else {}


def default() -> Home:
    """The home of root or of an ordinary user."""
    return Home(Path("/var/lib/onecore") if os.geteuid() == 0 else Path.home() / ".local/share/onecore")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon and its pid file.

    The file holds the pid and the start time, so that a pid that the system gave anew is never signalled.
    """

    name: str
    file: Path

    def record(self, pid: int) -> None:
        """Note that PID is it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".new")
        draft.write_text(f"{pid} {started(pid) or 0}\n", encoding="utf-8")
        draft.replace(self.file)

    def pid(self) -> int | None:
        """The pid, if it runs."""
        try:
            pid, birth = (int(word) for word in self.file.read_text(encoding="utf-8").split())
        except (OSError, ValueError):
            return None
        return pid if birth and started(pid) == birth else None

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False when it does not run."""
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def uptime(self) -> float:
        """Seconds since it was started, 0 when it does not run."""
        pid = self.pid()
        birth = started(pid) if pid else None
        if not birth:
            return 0.0
        since_boot = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
        return max(0.0, since_boot - birth / os.sysconf("SC_CLK_TCK"))


def started(pid: int) -> int | None:
    """When a process began, in ticks since boot; None when there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    words = text.rpartition(")")[2].split()
    return None if words[0] in "ZX" else int(words[19])


def tail(path: Path, lines: int = 20, most: int = 16384) -> list[str]:
    """The last lines of a file, nothing when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
