"""Which host keys are believed: those in known_hosts, and on first use only where that is wished."""
from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import paramiko

from drivers.base import Permanent
from drivers.ssh.settings import Settings, Target

_USER = Path("~/.ssh/known_hosts")


@dataclass(frozen=True, slots=True)
class Known:
    """A line of known_hosts: a key, and whether it is revoked."""

    kind: str
    blob: str
    revoked: bool = False


class Trust:
    """The believed host keys of one front-end; files are read anew for each connection."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._first_use = settings.trust_first_use
        own = home / "ssh" / "known_hosts"
        self._files = [Path(settings.known_hosts).expanduser()] if settings.known_hosts else [own, _USER.expanduser()]

    def kinds(self, target: Target) -> list[str]:
        """The kinds of keys that are known of TARGET: these are asked for first."""
        return [known.kind for known in self._known(target)]

    def verify(self, target: Target, key: paramiko.PKey) -> None:
        """Permanent unless KEY is TARGET's; the text says what to do."""
        if self._verdict(target, key) is None:
            if not self._first_use:
                raise Permanent(self._unknown(target, key))
            self._keep(target, key)

    def _verdict(self, target: Target, key: paramiko.PKey) -> bool | None:
        """True: known; None: nothing is known of TARGET.  A wrong or revoked key is Permanent."""
        known = self._known(target)
        ours = [each for each in known if (each.kind, each.blob) == (key.get_name(), key.get_base64())]
        if any(each.revoked for each in ours):
            raise Permanent(f"{target}: its SSH key {key.fingerprint} is revoked in known_hosts")
        if ours:
            return True
        if any(not each.revoked for each in known):
            raise Permanent(self._changed(target, key))
        return None

    def _known(self, target: Target) -> list[Known]:
        name = lookup_name(target)
        return [known for path in self._files for known in _read(path, name)]

    def _unknown(self, target: Target, key: paramiko.PKey) -> str:
        port = f"-p {target.port} " if target.port != 22 else ""
        file = self._files[0]
        return (f"{target}: its SSH key is not known; the host shows {key.get_name()} {key.fingerprint}. If that "
                f"is right, add it to {file}: ssh-keyscan {port}-t {_short(key)} {target.name} >> {file} "
                f"(or set drivers.ssh.trust_first_use)")

    def _changed(self, target: Target, key: paramiko.PKey) -> str:
        files = " or ".join(str(path) for path in self._files)
        return (f"{target}: ITS SSH KEY HAS CHANGED, it may be another machine; the host shows {key.get_name()} "
                f"{key.fingerprint}. If it was installed anew: ssh-keygen -R '{lookup_name(target)}' -f FILE "
                f"(FILE: {files}), then add the new key")

    def _keep(self, target: Target, key: paramiko.PKey) -> None:
        """Add the key, unless another process was faster."""
        path = self._files[0]
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if self._verdict(target, key) is None:
                size = os.fstat(fd).st_size
                torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
                line = f"{lookup_name(target)} {key.get_name()} {key.get_base64()}\n"
                os.write(fd, (("\n" if torn else "") + line).encode())
                os.fsync(fd)
        finally:
            os.close(fd)


def lookup_name(target: Target) -> str:
    """TARGET as known_hosts writes it."""
    return target.name if target.port == 22 else f"[{target.name}]:{target.port}"


def _read(path: Path, name: str) -> Iterator[Known]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked"):
            continue
        if _is_for(words[0].split(","), name):
            yield Known(words[1], words[2], bool(marker))


def _is_for(patterns: Sequence[str], name: str) -> bool:
    """Whether a line's PATTERNS mean NAME: hashed names, * and ?, and ! for what is left out."""
    found = False
    for pattern in patterns:
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if pattern.startswith("|1|"):
            matches = paramiko.HostKeys.hash_host(name, pattern) == pattern
        else:
            matches = fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
        if matches and negated:
            return False
        found = found or matches
    return found


def _short(key: paramiko.PKey) -> str:
    name = key.get_name()
    return "ed25519" if name == "ssh-ed25519" else "ecdsa" if name.startswith("ecdsa") else "rsa"
