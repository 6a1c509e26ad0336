"""The private keys that hosts are reached with: no passwords, no agent."""
from __future__ import annotations

from pathlib import Path

import paramiko

from drivers.base import Permanent
from drivers.ssh.settings import Settings

_OF_USER = ("id_ed25519", "id_ecdsa", "id_rsa")


def client_keys(home: Path, settings: Settings) -> list[paramiko.PKey]:
    """The keys to be tried, in order; Permanent when there is none.

    One that cannot be used keeps no other from being used: it may be its owner's own, of which hosts know nothing.
    """
    paths = _paths(home, settings)
    keys: list[paramiko.PKey] = []
    refused: list[Permanent] = []
    for path in filter(Path.exists, paths):
        try:
            keys.append(_load(path))
        except Permanent as error:
            refused.append(error)
    if keys:
        return keys
    raise refused[0] if refused else Permanent(f"no SSH key: there is no {' and no '.join(map(str, paths))}")


def _paths(home: Path, settings: Settings) -> list[Path]:
    if settings.key:
        return [Path(settings.key).expanduser()]
    return [home / "ssh" / "id_ed25519", *(Path("~/.ssh").expanduser() / name for name in _OF_USER)]


def _load(path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except paramiko.PasswordRequiredException:
        raise Permanent(f"the SSH key {path} has a passphrase; one without is needed") from None
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise Permanent(f"the SSH key {path} cannot be read: {error}") from error
    except TypeError:
        raise Permanent(f"the SSH key {path} has a passphrase; one without is needed") from None
