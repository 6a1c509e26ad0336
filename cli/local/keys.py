"""The SSH key with which drivers log in to hosts: made at the first start, its public half shown."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

from cli.errors import CliError, one_line
from cli.local.home import Home


def path(home: Home) -> Path:
    """Where the private key is."""
    return home.path / "ssh" / "id_ed25519"


def ensure(home: Home) -> bool:
    """Make the key if there is none; whether it was made now.  Raises CliError when that cannot be done."""
    key = path(home)
    if key.exists():
        return False
    program = shutil.which("ssh-keygen")
    if program is None:
        raise CliError(
            f"no SSH key for hosts: ssh-keygen is not installed (apt-get install -y openssh-client); "
            f"then: ssh-keygen -t ed25519 -N '' -f {key}"
        )
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = key.with_name(f"{key.name}.new")
    for each in (draft, draft.with_name(f"{draft.name}.pub")):
        each.unlink(missing_ok=True)
    words = [program, "-q", "-t", "ed25519", "-N", "", "-C", f"onecore@{platform.node()}", "-f", str(draft)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise CliError(f"no SSH key for hosts: {one_line(done.stderr or done.stdout)}")
    draft.with_name(f"{draft.name}.pub").replace(public_path(home))
    draft.replace(key)
    return True


def public_path(home: Home) -> Path:
    """Where the public key is."""
    return path(home).with_name("id_ed25519.pub")


def public(home: Home) -> str:
    """The line for a host's authorized_keys; empty when there is none."""
    try:
        return public_path(home).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
