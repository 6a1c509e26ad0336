"""ACL rules as numbers and text, and authorize(): bits first, then rules, administrators always."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecore.auth import acl
from onecore.auth.acl import ALL, CLUSTER, DEFAULT_RULES, GROUP, INDIVIDUAL, RESOURCES, RIGHTS, Rule, Rules, parse, text
from onecore.auth.authorize import BIT, KIND_NAMES, authorize, may
from onecore.auth.caller import Caller
from onecore.errors import Forbidden

VM, NET = RESOURCES["VM"], RESOURCES["NET"]
NONE, NEW = Rules(), Rules(enumerate(DEFAULT_RULES))
"""No rules, and those of a new cloud."""


@dataclass(frozen=True)
class Object:
    """Something owned by user 5 of group 50."""

    oid: int = 9
    uid: int = 5
    gid: int = 50
    perms: int = 0
    cid: int = 100
    clusters: str = "100"


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
    given = Rules([(3, rule)]).allows(5, frozenset({50}), acl.USE, VM, 9, 70, frozenset({100}))
    assert (given == 3) is (user[1] and target[1] and kind[1] and right[1])


FORMS = st.sampled_from([ALL, INDIVIDUAL | 5, INDIVIDUAL | 9, GROUP | 50, GROUP | 70])
RULES = st.builds(lambda user, kinds, target, rights, zone: Rule(user, sum(kinds) | target, rights, zone),
                  FORMS, st.sets(st.sampled_from([VM, NET]), min_size=1), FORMS | st.just(CLUSTER | 100),
                  st.integers(1, 15), st.sampled_from([ALL, INDIVIDUAL, INDIVIDUAL | 7]))


def plainly(rules: dict[int, Rule], uid: int, gids: set[int], right: int, kind: int, oid: int, gid: int,
            clusters: set[int]) -> set[int]:
    """The rules that give a right, by looking at every one."""
    def means(mask: int, oid: int, groups: set[int], clusters: set[int]) -> bool:
        number = mask & 0xFFFFFFFF
        return bool(mask & ALL or (mask & INDIVIDUAL and number == oid) or (mask & GROUP and number in groups)
                    or (mask & CLUSTER and number in clusters))
    return {i for i, r in rules.items() if r.zone in (ALL, INDIVIDUAL) and r.rights & right and r.resource & kind
            and means(r.user, uid, gids, set()) and means(r.resource & 0xFFFFFFFFF, oid, {gid}, clusters)}


@given(st.lists(RULES, max_size=8), st.sets(st.integers(0, 7)), st.sampled_from([5, 9]), st.sets(
    st.sampled_from([50, 70])), st.sampled_from([9, 5, -1]), st.sampled_from([50, 70]), st.sets(st.just(100)))
def test_rules_are_found_as_by_looking_at_all(listed: list[Rule], gone: set[int], uid: int, gids: set[int], oid: int,
                                              gid: int, clusters: set[int]) -> None:
    """Also after some were removed; and what is shown is what may be used."""
    kept, rules = {i: rule for i, rule in enumerate(listed) if i not in gone}, Rules(enumerate(listed))
    for number in gone & set(range(len(listed))):
        rules.remove(number, listed[number])
    for kind, right in product((VM, NET), RIGHTS.values()):
        all_of = plainly(kept, uid, gids, right, kind, oid, gid, clusters)
        found = rules.allows(uid, gids, right, kind, oid, gid, clusters)
        assert found in all_of if all_of else found is None
    shown = rules.shown(uid, gids, VM)
    seen = shown.everything or oid in shown.ids or gid in shown.groups or bool(clusters & shown.clusters)
    assert seen is bool(plainly(kept, uid, gids, acl.USE, VM, oid, gid, clusters))


BAD = {("x", "1400000000", "1"): "user must be a hexadecimal", ("5", "1400000000", "1"): "user must be one",
       ("400000001", "1400000000", "1"): "has an id", ("400000000", "400000000", "1"): "resource must name",
       ("400000000", "1400000000", "0"): "rights must be", ("400000000", "1400000000", "10"): "rights must be",
       ("400000000", "1400000000", "1", "200000000"): "zone must be", ("-1", "1", "1"): "user must be"}


def test_rules_as_clients_send_them() -> None:
    """Four hexadecimal numbers; what cannot be is named."""
    assert parse("100000005", "1400000000", "3") == Rule(INDIVIDUAL | 5, VM | ALL, 3, ALL)
    assert parse("400000000", "1800000064", "f", "100000000").zone == INDIVIDUAL
    for bad, named in BAD.items():
        with pytest.raises(ValueError, match=named):
            parse(*bad)


def test_rules_only_add() -> None:
    """Any of them is enough, in any order; none gives nothing."""
    good, bad = Rule(ALL, VM | ALL, 1, ALL), Rule(INDIVIDUAL | 6, VM | ALL, 15, ALL)
    for rules in ([good, bad], [bad, good]):
        assert Rules(enumerate(rules)).allows(5, (), acl.USE, VM, 9, 70) == rules.index(good)
    assert Rules([(0, bad)]).allows(5, (), acl.USE, VM, 9, 70) is None is NONE.allows(5, (), acl.USE, VM, 9, 70)


OWNER, MEMBER, OTHER = (Caller(5, 1, "o", frozenset({1})), Caller(6, 50, "m", frozenset({50})),
                        Caller(7, 1, "x", frozenset({1})))


@pytest.mark.parametrize(("who", "shift"), [(OWNER, 6), (MEMBER, 3), (OTHER, 0)], ids=["owner", "group", "other"])
def test_every_bit_gives_its_right_to_its_people(who: Caller, shift: int) -> None:
    """Each of the nine bits alone, against each of the three rights; what others have, all have."""
    for bit, right in product(range(9), BIT):
        wanted = BIT[right] << shift
        given = 1 << bit
        expected = given == wanted or given == BIT[right]
        assert may(who, right, "vm", Object(perms=given), NONE) is expected, (oct(given), right)


def test_who_is_both_owner_and_member_has_either() -> None:
    """The bits add up."""
    both = Caller(5, 50, "b", frozenset({50}))
    assert may(both, "USE", "vm", Object(perms=0o400), NONE) and may(both, "USE", "vm", Object(perms=0o040), NONE)
    assert not may(both, "MANAGE", "vm", Object(perms=0o440), NONE)


@pytest.mark.parametrize("admin", [Caller(0, 0, "oneadmin", frozenset({0})), Caller(9, 1, "a", frozenset({1, 0}))])
def test_administrators_may_all(admin: Caller) -> None:
    """User 0, and members of group 0."""
    assert all(may(admin, right, kind, Object(), NONE) for right in RIGHTS for kind in KIND_NAMES)


def test_users_and_groups_of_ones_own() -> None:
    """One sees and manages oneself, sees one's groups; administers neither."""
    user, group = Object(oid=7, uid=-1, gid=1), Object(oid=1, uid=-1, gid=-1)
    assert [r for r in BIT if may(OTHER, r, "user", user, NONE)] == ["USE", "MANAGE"]
    assert [r for r in BIT if may(OTHER, r, "group", group, NONE)] == ["USE"]
    assert not may(MEMBER, "USE", "user", user, NONE) and not may(MEMBER, "USE", "group", group, NONE)


def test_what_a_new_cloud_lets_users_do() -> None:
    """Create VMs and their parts, use networks and datastores; not hosts, users, groups, clusters."""
    created = [kind for kind in KIND_NAMES if may(OTHER, "CREATE", kind, None, NEW)]
    assert created == ["vm", "image", "template", "secgroup", "vmgroup", "document"]
    assert may(OTHER, "USE", "vnet", Object(), NEW) and may(OTHER, "MANAGE", "host", Object(), NEW)
    assert not may(OTHER, "USE", "vm", Object(), NEW)
    assert not may(MEMBER, "CREATE", "vm", None, NEW)


def test_a_refusal_names_user_right_and_object() -> None:
    """As OpenNebula words it."""
    with pytest.raises(Forbidden, match=r"User \[7\] : Not authorized to perform MANAGE VM \[9\]\.") as error:
        authorize(OTHER, "MANAGE", "vm", Object(), NONE)
    assert (error.value.code, error.value.oid) == (0x0200, 9)
    with pytest.raises(Forbidden, match=r"perform CREATE HOST\."):
        authorize(OTHER, "CREATE", "host", None, NONE)
    authorize(OWNER, "USE", "vm", Object(perms=0o400), NONE)
