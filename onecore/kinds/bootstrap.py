"""What a new cloud holds, and the credentials files beside it."""
from __future__ import annotations

import json
import os
import secrets
from dataclasses import replace
from pathlib import Path

from onecore.auth import tokens
from onecore.auth.acl import DEFAULT_RULES
from onecore.kinds.acl import AclRule
from onecore.kinds.cluster import Cluster
from onecore.kinds.datastore import TM_CONF, Datastore
from onecore.kinds.group import Group
from onecore.kinds.kind import inner_xml
from onecore.kinds.secgroup import SecurityGroup
from onecore.kinds.user import User, token_hash
from onecore.kinds.vdc import EVERY, Vdc
from onecore.kinds.zone import Zone
from onecore.lifecycle.core import Core
from onecore.pool.store import Counter
from onecore.wire.states import DatastoreType
from onecore.wire.template import Tree

FIRST_OWN = {"user": 1, "group": 99, "cluster": 99, "datastore": 99, "secgroup": 99, "vdc": 99, "zone": 99,
             "acl": len(DEFAULT_RULES) - 1}
"""The last id of the cloud's own objects, by kind."""


def bootstrap(core: Core) -> None:
    """Make the objects of a new cloud; does nothing when there is a user."""
    if core.store.all(User):
        return
    name, password = _admin(core.home)
    tm = core.config.defaults.system_tm
    ds = "dummy" if tm == "dummy" else "fs"
    with core.store.tx() as tx:
        for oid, group in enumerate(("oneadmin", "users")):
            tx.put(Group(oid, group, b""))
        tx.put(User(0, 0, name, core.passwords.hash_now(password), "core", 1, "0", "[]", b""))
        tx.put(User(1, 0, "serveradmin", _server(core.home), "server_cipher", 1, "0", "[]", b""))
        tx.put(Cluster(0, "default", b""))
        for oid, (label, kind) in enumerate((("system", "SYSTEM"), ("default", "IMAGE"), ("files", "FILE"))):
            tree = Tree([*TM_CONF.get(tm, {}).items(), ("TM_MAD", tm), ("TYPE", f"{kind}_DS")])
            if kind != "SYSTEM":
                tree.add("DS_MAD", ds)
            tx.put(Datastore(oid, 0, 0, label, 0o600, "-" if kind == "SYSTEM" else ds, tm, int(DatastoreType[kind]), 0,
                             "0", inner_xml(tree)))
        tx.put(SecurityGroup(0, 0, 0, "default", 0o604, inner_xml(Tree([
            ("RULE", {"PROTOCOL": "ALL", "RULE_TYPE": "OUTBOUND"}),
            ("RULE", {"PROTOCOL": "ALL", "RULE_TYPE": "INBOUND"})]))))
        tx.put(Vdc(0, "default", b"", groups="1", clusters=f"0:{EVERY}"))
        tx.put(Zone(0, "onecore", f"http://localhost:{core.config.server.port}/RPC2"))
        for oid, rule in enumerate(DEFAULT_RULES):
            tx.put(AclRule(oid, rule.user, rule.resource, rule.rights, rule.zone))
        for counted, last in FIRST_OWN.items():
            tx.put(Counter(counted, last))
        tx.log("user", 0, "create", new=name)


def _admin(home: Path) -> tuple[str, str]:
    """Name and password of user 0: from HOME/one_auth where an administrator put it, else made and kept there."""
    path = home / "one_auth"
    if path.is_file() and ":" in (text := path.read_text().strip()):
        name, password = text.split(":", 1)
        return name, password
    name, password = "oneadmin", secrets.token_urlsafe(16)
    write_secret(path, f"{name}:{password}\n")
    return name, password


def _server(home: Path) -> str:
    """What is stored of serveradmin's password, which HOME/serveradmin_auth holds for services that act for users."""
    password = secrets.token_hex(20)
    write_secret(home / "serveradmin_auth", f"serveradmin:{password}\n")
    return tokens.server_secret(password)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def offer_credentials(core: Core) -> None:
    """Give the user who runs oned ~/.one/one_auth when there is none; one that differs is not touched, but said."""
    own, theirs = core.home / "one_auth", Path.home() / ".one" / "one_auth"
    if not own.is_file():
        return
    text = own.read_text()
    try:
        if not theirs.exists():
            write_secret(theirs, text)
        elif theirs.read_text().strip() != text.strip():
            core.log.warning(f"{theirs} holds other credentials than {own}; use ONE_AUTH={own} for this cloud")
    except OSError as error:
        core.log.warning(f"cannot offer credentials in {theirs}: {error.strerror}")


def scheduler_token(core: Core) -> None:
    """A login token of serveradmin for the match-maker, in HOME/sched_auth."""
    path = core.home / "sched_auth"
    user = core.store.get(User, 1)
    if user is None:
        return
    known = {token for token, _, _ in json.loads(user.tokens)}
    if path.is_file() and token_hash(path.read_text().strip().partition(":")[2]) in known:
        return
    token = secrets.token_hex(20)
    with core.store.tx() as tx:
        tx.put(replace(user, tokens=json.dumps([[token_hash(token), -1, -1]])))
        tx.log("user", user.oid, "update", keys=["LOGIN_TOKEN"])
    write_secret(path, f"{user.name}:{token}\n")
