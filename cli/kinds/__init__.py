"""The kinds of object the command line knows, one module each with its KIND; loaded when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.kind import Kind

NAMES = (
    "vm",
    "host",
    "vnet",
    "image",
    "template",
    "datastore",
    "user",
    "group",
    "cluster",
    "secgroup",
    "vmgroup",
    "vdc",
    "acl",
    "hook",
    "zone",
    "audit",
    "task",
)


def kind(name: str) -> Kind:
    """The declaration of the kind NAME."""
    from importlib import import_module

    declared: Kind = import_module(f"cli.kinds.{name}").KIND
    return declared
