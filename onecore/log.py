"""The core's log (text or JSON, reopened on SIGHUP) and one file a VM.  Nothing else in oned writes log files."""
from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        text = f"{stamp}.{int(record.msecs):03d} {record.levelname[0]} {_mark(record)}{record.getMessage()}"
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _mark(record: logging.LogRecord) -> str:
    rid = getattr(record, "rid", "")
    return f"[{rid}] " if rid else ""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        data: dict[str, Any] = {"time": round(record.created, 3), "level": record.levelname.lower(),
                                "text": record.getMessage(), **getattr(record, "fields", {})}
        if getattr(record, "rid", ""):
            data["rid"] = record.rid  # type: ignore[attr-defined]
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        return json.dumps(data)


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A log that cannot be written stops nobody."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class Log:
    """A logger with a request id, and the VMs' own files.  A file that is gone or moved is opened anew."""

    def __init__(self, directory: Path | None, level: str = "info", as_json: bool = False,
                 stream: bool = False) -> None:
        self._logger = logging.Logger("oned", LEVELS[level])
        self._directory, self._json = directory, as_json
        self._calls: list[str] = []
        self._vm_lines: dict[int, list[str]] = {}
        self._vm_adding, self._vm_writing = threading.Lock(), threading.Lock()
        self._second, self._stamp = 0, ""
        self._muted = False
        handlers: list[logging.Handler] = [logging.StreamHandler()] if stream else []
        if directory is not None:
            (directory / "vm").mkdir(parents=True, exist_ok=True)
            self._file = _File(directory / "oned.log")
            handlers.append(self._file)
        for handler in handlers:
            handler.setFormatter(_Json() if as_json else _Text())
            self._logger.addHandler(handler)

    @contextlib.contextmanager
    def muted(self, mute: bool) -> Iterator[None]:
        """Log nothing within, if MUTE: what is only tried did not happen."""
        self._muted = mute
        try:
            yield
        finally:
            self._muted = False

    def reopen(self) -> None:
        """Go on in a new file (SIGHUP, after a rotation)."""
        self.flush()
        if self._directory is not None:
            self._file.close()
        self.info("log opened again")

    def line(self, level: str, text: str, rid: str = "", error: BaseException | None = None, **fields: Any) -> None:
        """One line; FIELDS go into the JSON form."""
        number = LEVELS.get(level, logging.INFO)
        if self._logger.isEnabledFor(number) and not self._muted:
            self.flush()
            self._logger.log(number, text, exc_info=error, extra={"rid": rid, "fields": fields})

    def call(self, rid: str, uid: int, method: str, oid: int, code: int, ms: float, client: str) -> None:
        """The line of one API call; written with the next flush."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if self._json:
            self._calls.append(json.dumps({"time": round(time.time(), 3), "level": "info", "rid": rid, "uid": uid,
                                           "method": method, "id": oid, "code": code, "ms": round(ms, 2),
                                           "client": client}))
        else:
            now = time.time()
            if int(now) != self._second:
                self._second = int(now)
                self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            result = "" if code == 0 else f" error 0x{code:04x}"
            stamp = f"{self._stamp}.{int(now % 1 * 1000):03d}"
            self._calls.append(f"{stamp} I [{rid}] {method} {oid} by {uid} {ms:.2f} ms{result}")

    def flush(self) -> None:
        """Write the lines of calls; a log that cannot be written (a full disk) stops nobody."""
        if self._calls:
            text, self._calls = "\n".join(self._calls) + "\n", []
            for handler in self._logger.handlers:
                with contextlib.suppress(OSError, ValueError):
                    stream = getattr(handler, "stream", None) or handler._open()  # type: ignore[attr-defined]
                    handler.stream = stream  # type: ignore[attr-defined]
                    stream.write(text)
                    stream.flush()

    def info(self, text: str, rid: str = "") -> None:
        """One line of level info."""
        self.line("info", text, rid)

    def warning(self, text: str, rid: str = "") -> None:
        """One line of level warning."""
        self.line("warning", text, rid)

    def error(self, text: str, rid: str = "", error: BaseException | None = None) -> None:
        """One line of level error, with the traceback of ERROR."""
        self.line("error", text, rid, error)

    def debug(self, text: str, rid: str = "") -> None:
        """One line of level debug."""
        self.line("debug", text, rid)

    def vm_path(self, oid: int) -> Path | None:
        """The file of a VM."""
        return self._directory / "vm" / f"{oid}.log" if self._directory else None

    def vm(self, oid: int, text: str, rid: str = "", level: str = "info") -> None:
        """A line in a VM's own log; written with the next flush_vms."""
        if self._directory is not None and not self._muted:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            mark = f"[{rid}] " if rid else ""
            with self._vm_adding:
                self._vm_lines.setdefault(oid, []).append(f"{stamp} {level[0].upper()} {mark}{text}\n")

    def flush_vms(self) -> None:
        """Append the lines that wait to the VMs' files; when it returns, none is on its way (blocks: use a thread)."""
        with self._vm_writing:
            with self._vm_adding:
                waiting, self._vm_lines = self._vm_lines, {}
            for oid, lines in waiting.items():
                path = self.vm_path(oid)
                try:
                    with open(path or "", "a") as out:
                        out.write("".join(lines))
                except OSError as error:
                    self._logger.warning("cannot write %s: %s", path, error.strerror, extra={"rid": ""})

    def close(self) -> None:
        """Close the files."""
        self.flush()
        self.flush_vms()
        for handler in self._logger.handlers:
            handler.close()
