"""OpenNebula's schemas of all bodies (tests/xsd), applied to what oned answers.

The schemas have a target namespace, the bodies have none: the namespace is taken off the schemas when they are read.
"""
from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

FOLDER = Path(__file__).resolve().parents[1] / "xsd"
_NAMESPACE = 'targetNamespace="http://opennebula.org/XMLSchema"'
_DEFAULT = 'xmlns="http://opennebula.org/XMLSchema"'


class _Plain(etree.Resolver):
    """Gives included schemas without their namespace."""

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]
        """The file in tests/xsd of that name."""
        return self.resolve_string(_text(Path(system_url).name), context, base_url=system_url)


def _text(name: str) -> str:
    return (FOLDER / name).read_text().replace(_NAMESPACE, "").replace(_DEFAULT, "").partition("?>")[2]


@cache
def schema(name: str) -> etree.XMLSchema:
    """The schema NAME.xsd."""
    parser = etree.XMLParser()
    parser.resolvers.add(_Plain())
    return etree.XMLSchema(etree.parse(io.StringIO(_text(f"{name}.xsd")), parser, base_url=str(FOLDER / f"{name}.xsd")))


def problems(name: str, body: str) -> list[str]:
    """What the schema NAME.xsd says against a body; empty when it is valid."""
    checked = schema(name)
    if checked.validate(etree.fromstring(body)):
        return []
    return [f"line {error.line}: {error.message}" for error in list(checked.error_log)]  # type: ignore[call-overload]


def validate(name: str, body: str) -> None:
    """Assert that a body is what NAME.xsd describes."""
    found = problems(name, body)
    assert not found, f"{name}.xsd: " + "; ".join(dict.fromkeys(found)) + f"\n{body}"


def schema_of(kind: str) -> str:
    """The name of a kind's schema."""
    return {"secgroup": "security_group", "vmgroup": "vm_group", "template": "vmtemplate"}.get(kind, kind)


CLOSED = {"security_group": ("DESCRIPTION",),
          "hook": ("ARGUMENTS", "ARGUMENTS_STDIN", "CALL", "COMMAND", "LCM_STATE", "REMOTE", "RESOURCE", "STATE")}
"""What the schemas of some templates know; the others take anything but elements that are known everywhere."""
GLOBAL = {"VM", "HOST", "VNET", "IMAGE", "USER", "GROUP", "CLUSTER", "DATASTORE", "DOCUMENT", "ZONE", "VDC", "HOOK",
          "ACL", "VMTEMPLATE", "SECURITY_GROUP", "VM_GROUP", "LOCK", "PERMISSIONS", "SNAPSHOTS"}
"""Elements that schemas know wherever they are: attributes that users call so would have to be what these are."""


def known(name: str, body: str) -> str:
    """A body, or a pool's, without what users may add to templates and NAME.xsd does not know."""
    root = etree.fromstring(body)
    words = CLOSED.get(name.removesuffix("_pool"))
    for template in [*root.iter("TEMPLATE"), *root.iter("USER_TEMPLATE")]:
        for child in template:
            if child.tag in GLOBAL or words and child.tag not in words:
                template.remove(child)
    return etree.tostring(root, encoding="unicode")


def validate_known(name: str, body: str) -> None:
    """As `validate`, but for what users may add to templates."""
    validate(name, known(name, body))
