"""XML bodies: small writers for the core, a safe reader for clients."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml import etree

from onecore.wire.template import cdata

Body = etree._Element
"""What `read` returns: an element with find, findall, findtext and iteration."""


def text(tag: str, value: str) -> str:
    """A leaf whose value is a string."""
    return f"<{tag}>{cdata(value)}</{tag}>" if value else f"<{tag}></{tag}>"


def number(tag: str, value: int | float) -> str:
    """A leaf whose value is a number."""
    return f"<{tag}>{value}</{tag}>"


def ids(tag: str, values: Iterable[int]) -> str:
    """A list of ids, ascending."""
    return f"<{tag}>" + "".join(f"<ID>{v}</ID>" for v in sorted(values)) + f"</{tag}>"


def read(body: str | bytes) -> Body:
    """Parse a body that a server answered; entities and document types are not followed."""
    data = body.encode() if isinstance(body, str) else body
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False,
                                                  huge_tree=True))


def show(body: Body) -> str:
    """The body as indented XML text."""
    etree.indent(body)
    return etree.tostring(body, encoding="unicode")


def to_dict(body: Body) -> dict[str, Any]:
    """{tag: content} of the body: leaves are strings, repeated elements lists, as OpenNebula's JSON has them."""
    return {body.tag: _content(body)}


def _content(element: Body) -> Any:
    if not len(element):
        return element.text or ({} if element.text is None and element.tag.isupper()
                                and _container(element.tag) else "")
    out: dict[str, Any] = {}
    for child in element:
        value = _content(child)
        if child.tag in out:
            if not isinstance(out[child.tag], list):
                out[child.tag] = [out[child.tag]]
            out[child.tag].append(value)
        else:
            out[child.tag] = value
    return out


def _container(tag: str) -> bool:
    return tag.endswith("_POOL") or tag in {
        "TEMPLATE", "USER_TEMPLATE", "VMS", "HOSTS", "DATASTORES", "VNETS", "IMAGES", "CLUSTERS", "MONITORING",
        "HISTORY_RECORDS", "CLONES", "APP_CLONES", "USERS", "ADMINS", "GROUPS", "LEASES", "SCHED_ACTIONS"}
