"""oned: read the configuration, build, serve until a signal.  Also `oned backup`, `restore`, `check` of its home."""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import onecore
from onecore import app
from onecore.config import Config, ConfigError, load
from onecore.lifecycle.clock import RealClock
from onecore.lifecycle.pipes import PipeTransport
from onecore.log import Log
from onecore.pool import backup as saving
from onecore.pool.backup import BackupError, Manifest
from onecore.pool.database import Database, DatabaseError
from onecore.pool.migrations import version
from onecore.pool.restore import READY
from onecore.pool.schema import VERSION
from onecore.pool.writer import ThreadWriter
from onecore.request import listen
from onecore.request.dispatch import Dispatch
from onecore.request.server import Application

COUNTS = {"VMs": "SELECT count(*) FROM vm_pool WHERE state <> 6", "hosts": "SELECT count(*) FROM host_pool"}
"""What a backup says of itself (6: DONE)."""

POLITE = 4
"""How far a backup steps back behind the cloud: with 10 it had so little of a busy machine that it took minutes, and
the view of one moment that it reads is what the database cannot tidy up behind."""


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=about)
    parser.add_argument("--home", type=Path, default=default_home(),
                        help="database, logs, images, keys (default: %(default)s)")
    parser.add_argument("--config", type=Path, help="configuration (default: HOME/oned.conf when it is there)")
    return parser


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = _parser("oned", "The core daemon of onecore.")
    parser.add_argument("--listen", help="address to listen on")
    parser.add_argument("--port", type=int, help="TCP port of /RPC2")
    parser.add_argument("--version", action="version", version=onecore.__version__)
    return parser.parse_args(argv)


def default_home() -> Path:
    """/var/lib/onecore for root, ~/.local/share/onecore else."""
    return Path("/var/lib/onecore") if os.geteuid() == 0 else Path.home() / ".local/share/onecore"


def configure(args: argparse.Namespace, server: bool = True) -> Config:
    """Configuration of the file, with the command line's SERVER settings on top."""
    given = {k: v for k, v in (("listen", args.listen), ("port", args.port)) if v is not None} if server else {}
    return load(_configuration(args), {"server": given} if given else {})


def _configuration(args: argparse.Namespace) -> Path | None:
    """The file that holds it."""
    own: Path = args.home / "oned.conf"
    return args.config or (own if own.is_file() else None)


class Daemon:
    """oned as a process: the core, its writer, the HTTP server, signals."""

    def __init__(self, config: Config, home: Path, database: Database, log: Log, sockets: list[socket.socket]) -> None:
        self.config, self.home, self.database, self.log, self.sockets = config, home, database, log, sockets
        self.exit_code = 0
        self._resumed, self._pause = -60.0, 0.0

    async def run(self) -> int:
        """Serve until a signal; returns the exit code."""
        import uvicorn

        from onecore.request import protocol

        self.loop = asyncio.get_running_loop()
        clock = RealClock()
        transport = PipeTransport(self.home, lambda: self.core.epoch, {"home": str(self.home), **self.config.drivers},
                                  clock, self.log)
        self.core = app.build(self.config, self.home, self.database, clock, self.log, transport, random.SystemRandom())
        self.core.kinds["drivers"] = transport.pids
        self.writer = ThreadWriter(self.database, self._durable, self._failed)
        self.core.store.on_corrupt = self._corrupt
        app.start(self.core, self.writer)
        gc.collect()
        gc.freeze()
        app.keep_going(self.core)
        self.dispatch = Dispatch(self.core)
        server = self.config.server
        application = Application(self.dispatch, server.max_request_mb << 20)
        self.server = uvicorn.Server(uvicorn.Config(
            application, loop="none", http=protocol.Protocol, ws="none", lifespan="off",
            log_level="warning", access_log=False, proxy_headers=False, server_header=False, date_header=False,
            timeout_keep_alive=75, backlog=1024,
            ssl_certfile=server.tls_cert or None, ssl_keyfile=server.tls_key or None, timeout_graceful_shutdown=3))
        clock.every(protocol.SWEEP, lambda: protocol.sweep(self.server.server_state.connections))
        self._signals(transport)
        _warn_plaintext(self.config, self.log)
        self.log.info(f"oned {onecore.__version__} epoch {self.core.epoch} listens on {server.listen}:{server.port}, "
                      f"home {self.home}")
        try:
            await self.server._serve(self.sockets)
        finally:
            self._stop(transport, clock)
        return self.exit_code or (0 if self.server.started else 1)

    def _signals(self, transport: PipeTransport) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._end, signal.Signals(number).name)
        self.loop.add_signal_handler(signal.SIGHUP, self._rotate, transport)

    def _rotate(self, transport: PipeTransport) -> None:
        self.log.reopen()
        transport.reopen_logs()

    def _end(self, why: str) -> None:
        self.log.info(f"{why}: stopping")
        for box, progress in self.core.dispatcher.under_way():
            step = f", {progress.step} {progress.done}/{progress.total}" if progress else ""
            self.log.info(f"under way, goes on at the next start: {box.command} of {box.kind} {box.oid}{step}", box.rid)
        self.server.should_exit = True
        self.core.changelog.close()

    def _stop(self, transport: PipeTransport, clock: RealClock) -> None:
        with contextlib.suppress(Exception):
            clock.close()
        if not self.writer.close():
            self.log.error("the last changes could not be stored")
        transport.close()
        self.core.series.close()
        self.core.passwords.close()
        self.database.close()
        self.log.info("oned ended")
        self.log.close()

    # -- called in the writer's thread

    def _durable(self, seq: int) -> None:
        self.loop.call_soon_threadsafe(self.core.store.became_durable, seq)

    def _failed(self, seq: int, error: BaseException) -> None:
        self.loop.call_soon_threadsafe(self._recover, seq, error)

    # -- after a failed commit

    def _recover(self, seq: int, error: BaseException) -> None:
        self.log.error(f"commit {seq} failed, loading again what is stored: {error}")
        self.dispatch.ready = False
        self.core.store.refuses = f"the change could not be stored: {error}"
        self._task = self.loop.create_task(self._go_on(error))

    def _corrupt(self, bug: Exception) -> None:
        self.log.error("memory contradicts itself, ending; the next start reads what is stored", error=bug)
        self.dispatch.ready, self.core.store.refuses = False, "oned ends"
        self.exit_code, self.server.should_exit = 3, True

    async def _go_on(self, error: BaseException) -> None:
        """Serve what SQL has, store again once it takes writes; reads go on meanwhile (a full disk)."""
        try:
            await self._reload(error)
            self.dispatch.ready = True
            self.log.info("loaded again, serving")
            await self._resume()
        except Exception as why:  # whatever it is: nothing else would end a process that serves nobody
            away = isinstance(why, DatabaseError)
            told = f"{'the database stays away' if away else 'what is stored cannot be loaded'}, giving up: {why}"
            self.log.error(told, error=None if away else why)
            print(f"oned: {told}", file=sys.stderr, flush=True)
            self.core.store.settle(-1, why)
            self.exit_code, self.server.should_exit = 3, True

    async def _reload(self, error: BaseException) -> None:
        for attempt in range(app.RELOADS):
            try:
                return app.reload(self.core, error)
            except app.TakenOver:
                raise
            except DatabaseError as why:
                self.log.error(f"loading again failed ({attempt + 1} of {app.RELOADS}): {why}")
                if attempt == app.RELOADS - 1:
                    raise
            await asyncio.sleep(1 + attempt)

    async def _resume(self) -> None:
        """One failure may be chance; the next within a minute waits longer before anything is stored again."""
        self._pause = min(2 * self._pause or 0.5, 5.0) if self.loop.time() - self._resumed < 60 else 0.0
        away = 0
        while True:
            await asyncio.sleep(self._pause)
            try:
                app.resume(self.core, self.writer.resume)
            except app.TakenOver:
                raise
            except Exception as why:  # whatever keeps SQL from storing; reading tells whether it is there at all
                self.dispatch.ready = self.core.whole and not self.exit_code
                self.core.store.refuses = f"nothing can be stored at the moment: {why}"
                self.log.error(f"reads go on, changes are refused: {why}")
                away = 0 if self._readable() else away + 1
                if away == app.RELOADS:
                    raise DatabaseError(str(why)) from why
                self._pause = min(2 * self._pause or 0.5, 5.0)
            else:
                self.dispatch.ready = True
                self._resumed = self.loop.time()
                return self.log.info("storing again")


    def _readable(self) -> bool:
        try:
            self.core.database.meta("seq")
        except DatabaseError:
            return False
        return True


def _warn_plaintext(config: Config, log: Log) -> None:
    if listen.plain(config.server):
        log.warning(f"listening on {config.server.listen} without TLS: passwords cross the network in the clear; "
                    "set tls_cert and tls_key")


def backup(argv: list[str]) -> int:
    """`oned backup FILE`: may run beside the oned of that home."""
    parser = _parser("onecore backup", "Back the manager up: its database and the small files of its home.")
    parser.add_argument("file", help="what to write; - for standard output")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--series", action="store_true", help="the monitoring series too")
    args = parser.parse_args(argv)
    os.nice(POLITE)
    if (args.home / READY).exists():
        raise BackupError(f"a restore of {args.home} was cut off; start oned, which completes it")
    database = app.database_of(configure(args, server=False), args.home)
    try:
        if args.file == "-":
            with tempfile.TemporaryDirectory(prefix=".backup-", dir=args.home) as room:
                done = saving.write(database, sys.stdout.buffer, Path(room), COUNTS, args.series)
            sys.stdout.buffer.flush()
        else:
            done = saving.save(database, Path(args.file), COUNTS, args.force, args.series)
            print(f"size {Path(args.file).stat().st_size / 1e6:.1f} MB", end=", ")
    finally:
        database.close()
    print(_told(done), file=sys.stderr if args.file == "-" else sys.stdout)
    return 0


def restore(argv: list[str]) -> int:
    """`oned restore FILE`: in place of what the home holds; oned must not run."""
    parser = _parser("onecore restore", "Put a backup in place; the cloud is held until `onecore reconcile --accept`.")
    parser.add_argument("file", help="what to read; - for standard input")
    parser.add_argument("--force", action="store_true", help="even if there is a database; it is kept aside")
    args = parser.parse_args(argv)

    def url(backed_up: Path) -> str:
        theirs = backed_up / "oned.conf"
        return load(_configuration(args) or (theirs if theirs.is_file() else None)).database.url
    with sys.stdin.buffer if args.file == "-" else open(args.file, "rb") as stream:
        done = app.restore_backup(args.home, stream, url, args.force)
    print(f"restored into {args.home}: {_told(done.manifest)}; epoch {done.epoch}")
    for note in (*([f"what was there is in {done.aside}"] if done.aside else []), *done.notes):
        print(note)
    print("the cloud is held: start oned, look at `onecore reconcile`, then `onecore reconcile --accept`")
    return 0


def _told(manifest: Manifest) -> str:
    counts = ", ".join(f"{number} {what}" for what, number in manifest.counts.items())
    when = time.strftime("%F %T UTC", time.gmtime(manifest.time))
    return f"{counts}, sequence {manifest.sequence}, of {when}"


def finish(argv: list[str]) -> int:
    """`oned finish`: complete a restore that was cut off, as every start does; for who reads the home before that."""
    app.finish_restore(_parser("onecore finish", "Complete a restore that was cut off.").parse_args(argv).home)
    return 0


def check(argv: list[str]) -> int:
    """`oned check`: whether the database is whole and its rows agree; may run beside the oned of that home."""
    from onecore.kinds.check import faults

    args = _parser("onedb check", "Check a copy of the database: its pages, and that its rows agree.").parse_args(argv)
    os.nice(POLITE)
    database = app.database_of(configure(args, server=False), args.home)
    with tempfile.TemporaryDirectory(prefix=".check-", dir=args.home) as room:
        try:
            saving.snapshot(database, Path(room) / database.path.name)
        finally:
            database.close()
        copy = app.database_of(Config(), Path(room))
        try:
            if version(copy) != VERSION:
                raise BackupError("the database is of another onecore: start oned, which upgrades it, or use its own")
            found = faults(copy)
        finally:
            copy.close()
    for fault in found:
        print(fault)
    print(f"{len(found)} faults" if found else "the database is whole and its rows agree")
    return 1 if found else 0


UPKEEP = {"backup": backup, "restore": restore, "check": check, "finish": finish}


def main(argv: list[str] | None = None) -> Any:
    """The entry point."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in UPKEEP:
        try:
            return UPKEEP[argv[0]](argv[1:])
        except (BackupError, ConfigError, DatabaseError, OSError) as error:
            print(f"onecore {argv[0]}: {error}", file=sys.stderr)
            return 1
    return serve(arguments(argv))


def serve(args: argparse.Namespace) -> Any:
    """Run the daemon; its exit code."""
    try:
        app.finish_restore(args.home)
        config = app.check(configure(args))
        listen.check_tls(config.server)
        (args.home / "log").mkdir(parents=True, exist_ok=True)
        log = Log(args.home / "log", config.log.level, config.log.json)
        database, done = app.open_database(config, args.home)
        sockets = listen.sockets(config.server)
    except (ConfigError, DatabaseError, OSError) as error:
        print(f"oned: {error}", file=sys.stderr)
        return 1
    if done:
        log.info(done)
    import uvloop

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.set_threshold(20_000, 20, 50)  # records are acyclic: collecting often finds nothing

    sys.setswitchinterval(0.0002)  # the writer's thread must not keep the loop waiting
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Daemon(config, args.home.resolve(), database, log, sockets).run())
    except (ConfigError, DatabaseError) as error:
        log.error(str(error))
        print(f"oned: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
