"""The engine that turns declarations into libvirt XML.  It knows elements, properties and paths, and no device."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from drivers.base import Permanent
from onecore.wire.messages import Doc

Item = Mapping[str, str]
"""One instance of what an element is about: the attributes of a disk, a NIC, GRAPHICS …"""
Value = str | int | bool | None
"""What a property says: text; True for an empty element; None or False for nothing at all."""

_STEP = re.compile(r"(?:(?P<prefix>[a-z]+):)?(?P<tag>[a-z][a-zA-Z0-9_]*)(?:\[@(?P<key>[a-z]+)='(?P<value>[^']*)'\])?\Z")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the XML depends on beside the VM: the hypervisor and the host it is written for."""

    hypervisor: str = "qemu"
    """`kvm` or `qemu`: the domain's type."""
    arch: str = "x86_64"
    cpu_shares: int = 1024
    """cgroup shares of one whole CPU: 1024 with cgroup v1, 100 with v2, 0 where shares cannot be set."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one property is computed from: the VM, one item of it, and the facts."""

    vm: Doc
    item: Item
    facts: Facts


@dataclass(frozen=True, slots=True)
class Property:
    """A value and the place it goes to, relative to its element: `driver/@cache`, `mac/@address`, `readonly`.

    A step may carry one selector, `feature[@name='x']`: that child is used, or made.
    """

    path: str
    value: Callable[[Part], Value]


def the_vm(part: Part) -> Iterable[Item]:
    """One item, the VM as a whole."""
    return ({},)


@dataclass(frozen=True, slots=True)
class Element:
    """A tag below `at`, made once for each item that `items` finds; with `merge` the one that is there is used."""

    at: str
    items: Callable[[Part], Iterable[Item]]
    properties: tuple[Property, ...]
    merge: bool = False


@dataclass(slots=True)
class Build:
    """A domain document in the making."""

    part: Part
    root: etree._Element
    used: set[tuple[str, str]] = field(default_factory=set)
    """(element, property path) of everything written: a test asks for all of them."""


def build(elements: Iterable[Element], vm: Doc, facts: Facts, namespaces: Mapping[str, str]) -> Build:
    """The document that ELEMENTS make of VM.  Raises Permanent for a value that XML cannot carry."""
    made = Build(Part(vm, {}, facts), etree.Element("domain", nsmap=dict(namespaces)))
    for element in elements:
        for item in element.items(made.part):
            _add(made, element, Part(vm, item, facts))
    return made


def text(document: Build) -> str:
    """The document as libvirt takes it."""
    return text_of(document.root)


def text_of(node: etree._Element) -> str:
    """An element as libvirt takes it."""
    etree.indent(node)
    return etree.tostring(node, encoding="unicode", with_tail=False) + "\n"


def _add(made: Build, element: Element, part: Part) -> None:
    values = [(p.path, p.value(part)) for p in element.properties]
    values = [(path, value) for path, value in values if value is not None and value is not False]
    if not values:
        return
    node = _place(made.root, element)
    for path, value in values:
        try:
            _set(node, path, value)
        except ValueError as error:
            raise Permanent(f"a value for {element.at}/{path} of the domain is not usable: {error}") from None
        made.used.add((element.at, path))


def _place(root: etree._Element, element: Element) -> etree._Element:
    if not element.at:
        return root
    *parents, last = element.at.split("/")
    node = root
    for step in parents:
        node = _child(node, step)
    return _child(node, last) if element.merge else etree.SubElement(node, last)


def _set(node: etree._Element, path: str, value: Value) -> None:
    *steps, last = path.split("/")
    for step in steps:
        node = _child(node, step)
    if last.startswith("@"):
        node.set(last[1:], str(value))
    elif last == "text()":
        node.text = str(value)
    else:
        child = _child(node, last)
        child.text = None if value is True else str(value)


def _child(node: etree._Element, step: str) -> etree._Element:
    match = _STEP.match(step)
    if match is None:
        raise AssertionError(f"not a path step: {step}")
    prefix, tag, key, value = match.group("prefix", "tag", "key", "value")
    if prefix:
        tag = f"{{{node.nsmap[prefix]}}}{tag}"
    for child in node.iterchildren(tag):
        if key is None or child.get(key) == value:
            return child
    return etree.SubElement(node, tag, {key: value} if key else {})
