"""What a directory of users tells, whatever it is."""
from __future__ import annotations

from dataclasses import dataclass


class Unavailable(Exception):
    """The directory could not be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Person:
    """An entry whose password was right; `gids` are groups of ours that its groups mean."""

    dn: str
    gids: tuple[int, ...]


def mapping(text: str) -> dict[str, int]:
    """{DN in lower case: group id} of `DN => id; …`; ValueError that says what is wrong."""
    found = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        dn, arrow, gid = part.rpartition("=>")
        if not arrow or not gid.strip().isdigit() or not dn.strip():
            raise ValueError(f"ldap.groups must be of the form 'DN => group id; …', not {part[:60]!r}")
        found[dn.strip().lower()] = int(gid)
    return found
