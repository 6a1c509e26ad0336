"""The settings `[drivers.ssh]`, checked, and what a host's attributes make of them."""
from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from drivers.base import Permanent
from onecore.wire.messages import Doc


@dataclass(frozen=True, slots=True)
class Settings:
    """How hosts are reached; see etc/oned.conf.  `connect_timeout` in seconds."""

    user: str = "root"
    port: int = 22
    key: str = ""
    known_hosts: str = ""
    trust_first_use: bool = False
    connect_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Who is reached where."""

    name: str
    user: str
    port: int

    def __str__(self) -> str:
        return self.name


def parse(section: Mapping[str, Any] | None) -> Settings:
    """The settings; Permanent names what is unknown or has a wrong type."""
    given = dict(section or {})
    kinds = {field.name: type(field.default) for field in fields(Settings)}
    for name, value in given.items():
        if name not in kinds:
            raise Permanent(f"[drivers.ssh] has no setting {name}; it has {', '.join(kinds)}")
        if not _fits(value, kinds[name]):
            raise Permanent(f"[drivers.ssh] {name} is {value!r}, which is no {_KINDS[kinds[name]]}")
    return Settings(**given)


def target(host: Doc, settings: Settings) -> Target:
    """How HOST is reached; Permanent when its SSH_PORT is no port."""
    attrs = host.get("attrs") or {}
    port = str(attrs.get("SSH_PORT") or settings.port)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Permanent(f"{host['name']}: SSH_PORT is {port!r}, which is no port")
    return Target(host["name"], str(attrs.get("SSH_USER") or settings.user), int(port))


def is_here(host: Doc) -> bool:
    """Whether HOST is this machine: none at all, or one of the names of it."""
    name = host.get("name") or "localhost"
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


_KINDS = {str: "text", int: "whole number above 0", float: "number above 0", bool: "true or false"}


def _fits(value: object, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    return isinstance(value, int | float) and isinstance(value, int | kind) and value > 0
