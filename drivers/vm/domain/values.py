"""Small readers that declarations are written with: how a property's value is found in an item or in the VM."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from drivers.base import Permanent
from drivers.vm.domain.element import Item, Part, Value

Reader = Callable[[Part], Value]
_TRUE = frozenset({"YES", "Y", "TRUE", "ON", "1"})


def section(part: Part, name: str) -> Item:
    """The vector NAME of the VM's template, {} when it has none."""
    found = part.vm.get("attrs", {}).get(name)
    return found if isinstance(found, Mapping) else {}


def sections(name: str) -> Callable[[Part], Iterable[Item]]:
    """Items: the vector NAME of the template, if it is there."""
    return lambda part: [found] if (found := section(part, name)) else []


def number(item: Item, name: str, low: int = 0) -> int | None:
    """The whole number NAME of ITEM, None when it is not given.  Raises Permanent when it is none or below LOW."""
    given = str(item.get(name) or "").strip()
    if not given:
        return None
    if not given.isdecimal() or int(given) < low:
        raise Permanent(f"{name} must be a whole number from {low} up, not {given!r}")
    return int(given)


def truth(item: Item, name: str, default: bool = False) -> bool:
    """Whether NAME of ITEM says yes."""
    given = str(item.get(name) or "").strip()
    return given.upper() in _TRUE if given else default


def const(value: Value) -> Reader:
    """Always VALUE."""
    return lambda part: value


def attr(name: str, default: str | None = None) -> Reader:
    """The attribute NAME of the item as it is written, or DEFAULT."""
    return lambda part: str(part.item.get(name) or "").strip() or default


def lower(name: str, default: str | None = None) -> Reader:
    """The attribute NAME of the item in lower case, or DEFAULT."""
    read = attr(name, default)
    return lambda part: value.lower() if isinstance(value := read(part), str) else None


def whole(name: str, low: int = 0) -> Reader:
    """The whole number NAME of the item."""
    return lambda part: number(part.item, name, low)


def flag(name: str, default: bool = False) -> Reader:
    """An empty element when NAME of the item says yes."""
    return lambda part: truth(part.item, name, default)


def of(name: str, read: Reader) -> Reader:
    """READ, applied to the section NAME of the template instead of the item."""
    return lambda part: read(Part(part.vm, section(part, name), part.facts))
