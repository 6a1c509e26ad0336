"""OpenNebula's Python binding drives each kind through its whole life; bodies and pools are what the schemas say."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyone
import pytest
from cloud_process import Cloud, unique, until
from xsd import schema_of, validate_known

from onecore.api import TABLE
from onecore.kinds.kind import KINDS

pytestmark = pytest.mark.surface

NAMED: dict[str, Callable[[str], tuple[Any, ...]]] = {
    "cluster": lambda name: (name,), "group": lambda name: (name,), "user": lambda name: (name, "secret", "", []),
    "host": lambda name: (name, "dummy", "dummy", -1)}
TEMPLATES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "datastore": ({"TM_MAD": "dummy", "DS_MAD": "dummy"}, (-1,)),
    "vnet": ({"VN_MAD": "dummy", "AR": {"TYPE": "ETHER", "SIZE": "3"}}, (-1,)),
    "image": ({"SIZE": 1, "TYPE": "DATABLOCK"}, (1,)),
    "template": ({"CPU": "1", "MEMORY": "64", "NIC": [{"NETWORK": "a"}, {"NETWORK": "b"}]}, ()),
    "document": ({"BODY": "{\"a\": \"<&>\"}"}, (100,)),
    "secgroup": ({"RULE": {"PROTOCOL": "ALL", "RULE_TYPE": "INBOUND"}}, ()),
    "vmgroup": ({"ROLE": [{"NAME": "a"}, {"NAME": "b", "POLICY": "AFFINED"}]}, ()), "vdc": ({}, ()),
    "hook": ({"TYPE": "api", "CALL": "one.zone.raftstatus", "COMMAND": "/bin/true"}, ())}
"""What a template holds beside the name, and the arguments of `allocate` that follow it."""
ELSEWHERE = {"vm": "test_api_pyone", "zone": "below"}
"""Kinds whose lives are otherwise."""
MORE: dict[str, tuple[Any, ...]] = {"documentpool": (-2, -1, -1, 100)}
CHANGE = {"hook": {"ARGUMENTS": "$API"}, "secgroup": {"DESCRIPTION": "new"}}
"""What an update says where not every attribute may be added."""


def test_every_kind_has_a_life() -> None:
    """Here or where it is said."""
    assert sorted({*NAMED, *TEMPLATES, *ELSEWHERE}) == sorted(KINDS)


class Life:
    """One object, by pyone."""

    def __init__(self, cloud: Cloud, kind: str) -> None:
        self.cloud, self.kind = cloud, KINDS[kind]
        self.one = pyone.OneServer(cloud.endpoint, session=":".join(cloud.credentials()))
        self.calls = getattr(self.one, self.kind.api.removeprefix("one."))
        self.name = unique(kind)
        if kind in NAMED:
            self.oid = self.calls.allocate(*NAMED[kind](self.name))
        else:
            template, rest = TEMPLATES[kind]
            self.oid = self.calls.allocate({"TEMPLATE": {"NAME": self.name, **template}}, *rest)

    def has(self, verb: str) -> bool:
        """Whether there is such a method."""
        return f"{self.kind.api}.{verb}" in TABLE

    def looked(self) -> Any:
        """The body, as pyone binds it; it and the pool are valid."""
        schema = schema_of(self.kind.name)
        validate_known(schema, self.cloud.client.text(f"{self.kind.api}.info", self.oid))
        pool = self.kind.pool_api.removeprefix("one.")
        arguments = MORE.get(pool, (-2, -1, -1))
        validate_known(f"{schema}_pool", self.cloud.client.text(f"{self.kind.pool_api}.info", *arguments))
        shown = getattr(self.one, pool).info(*arguments)
        element = schema.upper()
        body = self.calls.info(self.oid)
        assert [each.NAME for each in getattr(shown, element) if self.oid == each.ID] == [body.NAME]
        return body


@pytest.mark.parametrize("kind", [*NAMED, *TEMPLATES])
def test_a_life(cloud: Cloud, kind: str) -> None:
    """Made, shown, changed, renamed, given away, opened, locked, copied, and gone."""
    life = Life(cloud, kind)
    one, calls, oid = life.one, life.calls, life.oid
    if kind == "image":
        until(5, "the image", lambda: calls.info(oid).STATE == pyone.IMAGE_STATES.READY)
    assert life.name == life.looked().NAME
    if life.has("update"):
        change = CHANGE.get(kind, {"NOTE": "<&>", "PAIR": {"A": "b"}})
        calls.update(oid, {"TEMPLATE": change}, 1)
        found = life.looked().TEMPLATE
        told = found if isinstance(found, dict) else vars(found)
        assert {key: told[key] for key in change} == change
    if life.has("rename"):
        calls.rename(oid, life.name + "x")
        assert life.name + "x" == life.looked().NAME
    if life.has("chmod"):
        user = one.user.allocate(unique("heir"), "secret", "", [])
        calls.chmod(oid, -1, -1, -1, 1, -1, -1, 1, 0, -1)
        calls.chown(oid, user, 1)
        body = life.looked()
        assert (user, 1, 1, 1) == (body.UID, body.GID, body.PERMISSIONS.GROUP_U, body.PERMISSIONS.OTHER_U)
        calls.chown(oid, 0, 0)
        one.user.delete(user)
    if life.has("lock"):
        calls.lock(oid, 4, True)
        assert life.looked().LOCK.LOCKED == 4
        with pytest.raises(pyone.OneException):
            calls.delete(oid)
        calls.unlock(oid)
        assert life.looked().LOCK is None
    if life.has("clone"):
        copy = calls.clone(oid, unique("copy"))
        until(5, "the copy", lambda: kind != "image" or calls.info(copy).STATE == pyone.IMAGE_STATES.READY)
        calls.delete(copy)
    calls.delete(oid)

    def gone() -> bool:
        try:
            calls.info(oid)
        except pyone.OneNoExistsException:
            return True
        return False
    until(5, f"{kind} {oid} to go", gone)


def test_what_ties_them(cloud: Cloud) -> None:
    """Groups and their administrators, quotas, rules, VDCs, clusters, the zone."""
    one = pyone.OneServer(cloud.endpoint, session=":".join(cloud.credentials()))
    group, user = one.group.allocate(unique("group")), one.user.allocate(unique("user"), "secret", "core", [])
    one.user.addgroup(user, group)
    one.group.addadmin(group, user)
    assert ([user], [1, group]) == (one.group.info(group).ADMINS.ID, one.user.info(user).GROUPS.ID)
    one.user.quota(user, {"TEMPLATE": {"VM": {"VMS": 5, "MEMORY": -2}}})
    one.group.quota(group, {"TEMPLATE": {"DATASTORE": {"ID": 1, "IMAGES": 3}}})
    assert one.user.info(user).VM_QUOTA.VM[0].VMS == "5"
    assert one.group.info(group).DATASTORE_QUOTA.DATASTORE[0].IMAGES == "3"
    rule = one.acl.addrule(f"{0x200000000 | group:x}", f"{0x8000000000 | 0x400000000:x}", "1", "400000000")
    assert [found.STRING for found in one.acl.info().ACL if rule == found.ID] == [f"@{group} IMAGE/* USE *"]
    one.acl.delrule(rule)
    cluster, vdc = one.cluster.allocate(unique("cluster")), one.vdc.allocate({"NAME": unique("vdc")})
    host = one.host.allocate(unique("host"), "dummy", "dummy", -1)
    one.cluster.addhost(cluster, host)
    assert [host] == one.cluster.info(cluster).HOSTS.ID
    one.vdc.addgroup(vdc, group)
    one.vdc.addcluster(vdc, 0, cluster)
    body = one.vdc.info(vdc)
    assert ([group], cluster) == (body.GROUPS.ID, body.CLUSTERS.CLUSTER[0].CLUSTER_ID)
    assert one.zone.info(0).NAME == one.zonepool.info().ZONE[0].NAME
    for calls, oid in ((one.vdc, vdc), (one.host, host), (one.cluster, cluster), (one.user, user), (one.group, group)):
        calls.delete(oid)
