"""ACL rules as numbers and text, and authorize(): bits first, then rules, administrators always."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from onecore.auth import acl
from onecore.auth.acl import ALL, CLUSTER, DEFAULT_RULES, GROUP, INDIVIDUAL, RESOURCES, RIGHTS, Rule, allows, text
from onecore.auth.authorize import BIT, KIND_NAMES, authorize, may
from onecore.auth.caller import Caller
from onecore.errors import Forbidden

VM, NET = RESOURCES["VM"], RESOURCES["NET"]


@dataclass(frozen=True)
class Object:
    """Something owned by user 5 of group 50."""

    oid: int = 9
    uid: int = 5
    gid: int = 50
    perms: int = 0


def test_numbers_are_opennebulas() -> None:
    """As oneacl shows them."""
    assert (INDIVIDUAL, GROUP, ALL, CLUSTER) == (0x100000000, 0x200000000, 0x400000000, 0x800000000)
    assert (VM, RESOURCES["ZONE"], RESOURCES["VDC"]) == (0x1000000000, 0x800000000000, 0x2000000000000)
    assert RIGHTS == {"USE": 1, "MANAGE": 2, "ADMIN": 4, "CREATE": 8}


@pytest.mark.parametrize(("rule", "written"), [
    (Rule(INDIVIDUAL | 5, VM | ALL, 3, ALL), "#5 VM/* USE+MANAGE *"),
    (Rule(GROUP | 1, VM | NET | INDIVIDUAL | 7, 1, INDIVIDUAL | 0), "@1 VM+NET/#7 USE #0"),
    (Rule(ALL, NET | CLUSTER | 100, 15, ALL), "* NET/%100 USE+MANAGE+ADMIN+CREATE *"),
    (DEFAULT_RULES[1], "* ZONE/* USE *")])
def test_text(rule: Rule, written: str) -> None:
    """user resources/id rights zone."""
    assert text(rule) == written


@pytest.mark.parametrize("user", [(ALL, True), (INDIVIDUAL | 5, True), (INDIVIDUAL | 6, False), (GROUP | 50, True),
                                  (GROUP | 5, False)])
@pytest.mark.parametrize("target", [(ALL, True), (INDIVIDUAL | 9, True), (INDIVIDUAL | 8, False), (GROUP | 70, True),
                                    (GROUP | 9, False), (CLUSTER | 100, True), (CLUSTER | 9, False)])
@pytest.mark.parametrize("kind", [(VM, True), (VM | NET, True), (NET, False)])
@pytest.mark.parametrize("right", [(1, True), (3, True), (2, False), (8, False)])
def test_a_rule_gives_what_all_its_parts_say(user: tuple[int, bool], target: tuple[int, bool], kind: tuple[int, bool],
                                             right: tuple[int, bool]) -> None:
    """User 5 of group 50 wants USE on VM 9 of group 70 in cluster 100."""
    rule = Rule(user[0], kind[0] | target[0], right[0], ALL)
    given = allows([rule], 5, frozenset({50}), acl.USE, VM, 9, 70, frozenset({100}))
    assert given is (user[1] and target[1] and kind[1] and right[1])


def test_rules_only_add() -> None:
    """Any of them is enough, in any order; none gives nothing."""
    good, bad = Rule(ALL, VM | ALL, 1, ALL), Rule(INDIVIDUAL | 6, VM | ALL, 15, ALL)
    for rules in ([good, bad], [bad, good]):
        assert allows(rules, 5, frozenset(), acl.USE, VM, 9, 70)
    assert not allows([bad], 5, frozenset(), acl.USE, VM, 9, 70) and not allows([], 5, frozenset(), acl.USE, VM, 9, 70)


OWNER, MEMBER, OTHER = (Caller(5, 1, "o", frozenset({1})), Caller(6, 50, "m", frozenset({50})),
                        Caller(7, 1, "x", frozenset({1})))


@pytest.mark.parametrize(("who", "shift"), [(OWNER, 6), (MEMBER, 3), (OTHER, 0)], ids=["owner", "group", "other"])
def test_every_bit_gives_its_right_to_its_people(who: Caller, shift: int) -> None:
    """Each of the nine bits alone, against each of the three rights; what others have, all have."""
    for bit, right in product(range(9), BIT):
        wanted = BIT[right] << shift
        given = 1 << bit
        expected = given == wanted or given == BIT[right]
        assert may(who, right, "vm", Object(perms=given), []) is expected, (oct(given), right)


def test_who_is_both_owner_and_member_has_either() -> None:
    """The bits add up."""
    both = Caller(5, 50, "b", frozenset({50}))
    assert may(both, "USE", "vm", Object(perms=0o400), []) and may(both, "USE", "vm", Object(perms=0o040), [])
    assert not may(both, "MANAGE", "vm", Object(perms=0o440), [])


@pytest.mark.parametrize("admin", [Caller(0, 0, "oneadmin", frozenset({0})), Caller(9, 1, "a", frozenset({1, 0}))])
def test_administrators_may_all(admin: Caller) -> None:
    """User 0, and members of group 0."""
    assert all(may(admin, right, kind, Object(), []) for right in RIGHTS for kind in KIND_NAMES)


def test_users_and_groups_of_ones_own() -> None:
    """One sees and manages oneself, sees one's groups; administers neither."""
    user, group = Object(oid=7, uid=-1, gid=1), Object(oid=1, uid=-1, gid=-1)
    assert [r for r in BIT if may(OTHER, r, "user", user, [])] == ["USE", "MANAGE"]
    assert [r for r in BIT if may(OTHER, r, "group", group, [])] == ["USE"]
    assert not may(MEMBER, "USE", "user", user, []) and not may(MEMBER, "USE", "group", group, [])


def test_what_a_new_cloud_lets_users_do() -> None:
    """Create VMs and their parts, use networks and datastores; not hosts, users, groups, clusters."""
    created = [kind for kind in KIND_NAMES if may(OTHER, "CREATE", kind, None, DEFAULT_RULES)]
    assert created == ["vm", "image", "template", "secgroup"]
    assert may(OTHER, "USE", "vnet", Object(), DEFAULT_RULES) and may(OTHER, "MANAGE", "host", Object(), DEFAULT_RULES)
    assert not may(OTHER, "USE", "vm", Object(), DEFAULT_RULES)
    assert not may(MEMBER, "CREATE", "vm", None, DEFAULT_RULES)


def test_a_refusal_names_user_right_and_object() -> None:
    """As OpenNebula words it."""
    with pytest.raises(Forbidden, match=r"User \[7\] : Not authorized to perform MANAGE VM \[9\]\.") as error:
        authorize(OTHER, "MANAGE", "vm", Object(), [])
    assert (error.value.code, error.value.oid) == (0x0200, 9)
    with pytest.raises(Forbidden, match=r"perform CREATE HOST\."):
        authorize(OTHER, "CREATE", "host", None, [])
    authorize(OWNER, "USE", "vm", Object(perms=0o400), [])
