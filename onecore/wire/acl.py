"""ACL rules as clients send and show them: OpenNebula's 64-bit masks and their text.

`<user> <RES+RES>/<id> <RIGHTS> <zone>`; ids `#n` individual, `@n` group, `%n` cluster, `*` all.
"""
from __future__ import annotations

from dataclasses import dataclass

INDIVIDUAL, GROUP, ALL, CLUSTER = 0x100000000, 0x200000000, 0x400000000, 0x800000000
USE, MANAGE, ADMIN, CREATE = 1, 2, 4, 8
RIGHTS = {"USE": USE, "MANAGE": MANAGE, "ADMIN": ADMIN, "CREATE": CREATE}
RESOURCES = {name: 0x1000000000 << bit for bit, name in enumerate((
    "VM", "HOST", "NET", "IMAGE", "USER", "TEMPLATE", "GROUP", "ACL", "DATASTORE", "CLUSTER", "DOCUMENT", "ZONE",
    "SECGROUP", "VDC", "VROUTER", "MARKETPLACE", "MARKETPLACEAPP", "VMGROUP", "VNTEMPLATE", "HOOK", "BACKUPJOB"))}
KINDS = sum(RESOURCES.values())
"""The bits of a rule's resource that say of which kinds it speaks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as numbers."""

    user: int
    resource: int
    rights: int
    zone: int


def _id_text(mask: int) -> str:
    number = mask & 0xFFFFFFFF
    return "*" if mask & ALL else f"{'#' if mask & INDIVIDUAL else '@' if mask & GROUP else '%'}{number}"


def text(rule: Rule) -> str:
    """The rule as people write it."""
    kinds = "+".join(name for name, bit in RESOURCES.items() if rule.resource & bit)
    rights = "+".join(name for name, bit in RIGHTS.items() if rule.rights & bit)
    return f"{_id_text(rule.user)} {kinds}/{_id_text(rule.resource & ~KINDS)} {rights} {_id_text(rule.zone)}"


def parse(user: str, resource: str, rights: str, zone: str = "") -> Rule:
    """The rule of four hexadecimal numbers, as clients send them; ValueError names what is wrong.  No zone: all."""
    numbers = [_hex(name, text) for name, text in (("user", user), ("resource", resource), ("rights", rights),
                                                   ("zone", zone or f"{ALL:x}"))]
    rule = Rule(*numbers)
    target = rule.resource & ~KINDS
    for name, mask, forms in (("user", rule.user, (INDIVIDUAL, GROUP, ALL)),
                              ("resource", target, (INDIVIDUAL, GROUP, ALL, CLUSTER)),
                              ("zone", rule.zone, (INDIVIDUAL, ALL))):
        form = mask & ~0xFFFFFFFF
        if form not in forms:
            raise ValueError(f"{name} must be one of {', '.join(_SIGNS[f] for f in forms)}, and no other bits, "
                             f"not {mask:x}")
        if form == ALL and mask & 0xFFFFFFFF:
            raise ValueError(f"{name} is * and has an id, {mask & 0xFFFFFFFF}")
    if not rule.resource & KINDS:
        raise ValueError(f"resource must name at least one of {', '.join(RESOURCES)}")
    if not 0 < rule.rights <= USE | MANAGE | ADMIN | CREATE:
        raise ValueError(f"rights must be a sum of 1 (USE), 2 (MANAGE), 4 (ADMIN) and 8 (CREATE), not {rights!r}")
    return rule


_SIGNS = {INDIVIDUAL: "#id", GROUP: "@group", ALL: "*", CLUSTER: "%cluster"}


def _hex(name: str, text: str) -> int:
    try:
        number = int(text, 16)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{name} must be a hexadecimal number of up to 64 bits, not {text[:40]!r}")
    return number


def written(line: str) -> Rule:
    """The rule that people write, `#5 VM+NET/@100 USE+MANAGE *`; no zone: all.  ValueError names what is wrong."""
    words = line.split()
    if len(words) not in (3, 4):
        raise ValueError(f"a rule is USER RESOURCE/ID RIGHTS [ZONE], as in \"#5 VM+NET/@100 USE *\", not {line[:80]!r}")
    kinds, slash, target = words[1].partition("/")
    if not slash:
        raise ValueError(f"resource must be KIND+KIND/ID, as in VM+NET/#7, not {words[1][:40]!r}")
    rule = Rule(_mask("user", words[0]), _sum("resource", kinds, RESOURCES) | _mask("resource", target),
                _sum("rights", words[2], RIGHTS), _mask("zone", words[3] if len(words) == 4 else "*"))
    return parse(f"{rule.user:x}", f"{rule.resource:x}", f"{rule.rights:x}", f"{rule.zone:x}")


def _mask(name: str, word: str) -> int:
    form = {sign[0]: bits for bits, sign in _SIGNS.items()}.get(word[:1])
    number = word[1:]
    if form is None or (word != "*" if form == ALL else not (number.isascii() and number.isdigit())):
        raise ValueError(f"{name} must be #id, @group, %cluster or *, not {word[:40]!r}")
    if form != ALL and int(number) > 0xFFFFFFFF:
        raise ValueError(f"{name} has an id that is too large, {number[:40]}")
    return form | (0 if form == ALL else int(number))


def _sum(name: str, words: str, known: dict[str, int]) -> int:
    total = 0
    for word in words.split("+"):
        if word.upper() not in known:
            raise ValueError(f"{name} must be of {', '.join(known)} with + between, not {word[:40]!r}")
        total |= known[word.upper()]
    return total
