"""Users: record, body, methods.  Password hashes never leave in a body or a log."""
from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from onecore.api import Body, Request, method
from onecore.auth import tokens
from onecore.auth.authorize import authorize
from onecore.auth.caller import Caller
from onecore.errors import BadArgument, Forbidden, NoExists, NotAllocated
from onecore.kinds import verbs
from onecore.kinds.kind import KINDS, Kind, allowed, check_name, group_name, lookup, named, rules
from onecore.kinds.quota import body as quota
from onecore.kinds.quota.methods import forget as forget_quota
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.pool.store import Tx
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes

DRIVERS = ("core", "public", "ssh", "x509", "ldap", "server_cipher", "server_x509", "custom")
HASHED = re.compile("[0-9a-f]{64}")
"""A SHA-256 digest, as imports bring it."""
PASSWORD_DRIVERS = ("core",)
"""Drivers whose secret is a password that is stored hashed."""


MAX_SECONDS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class User(Record):
    """`groups` are ids as text, the primary one first; `tokens` is JSON [[SHA-256 of the token, expiry, egid], …]."""

    TABLE: ClassVar[str] = "user_pool"
    KIND: ClassVar[str] = "user"
    oid: int
    gid: int
    name: str
    password: str
    driver: str
    enabled: int
    groups: str
    tokens: str
    template: bytes

    @property
    def gids(self) -> frozenset[int]:
        """All groups."""
        return frozenset(int(g) for g in self.groups.split())

    def touches(self) -> tuple[tuple[str, int], ...]:
        """The user and its groups."""
        return (("user", self.oid), *(("group", g) for g in self.gids))


def token_hash(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def caller(user: User, egid: int = -1) -> Caller:
    """The identity of a user; with EGID >= 0, in that group alone."""
    if egid >= 0:
        return Caller(user.oid, egid, user.name, frozenset((egid,)))
    return Caller(user.oid, user.gid, user.name, user.gids)


def acting(core: Core, uid: int, what: str) -> Caller:
    """Who had something done later (WHAT), with the rights of today; raises Forbidden."""
    user = core.store.get(User, uid)
    if user is None or not user.enabled:
        raise Forbidden(f"User [{uid}] : who {what} is {'gone' if user is None else 'disabled'}.")
    return caller(user)


def _fields(core: Core, user: User) -> str:
    tokens = "".join(
        f"<LOGIN_TOKEN>{xmlbody.text('TOKEN', '*')}<EXPIRATION_TIME>{end}</EXPIRATION_TIME><EGID>{egid}</EGID>"
        "</LOGIN_TOKEN>"
        for _, end, egid in json.loads(user.tokens))
    return (f"<ID>{user.oid}</ID><GID>{user.gid}</GID>{xmlbody.ids('GROUPS', user.gids)}"
            f"{xmlbody.text('GNAME', group_name(core, user.gid))}{xmlbody.text('NAME', user.name)}"
            f"{xmlbody.text('PASSWORD', '*' if user.password else '')}{xmlbody.text('AUTH_DRIVER', user.driver)}"
            f"<ENABLED>{user.enabled}</ENABLED>{tokens}<TEMPLATE>")


def body(core: Core, user: User) -> list[bytes]:
    """<USER>."""
    return [escape_bytes("<USER>" + _fields(core, user)), user.template,
            escape_bytes(
                f"</TEMPLATE>{quota.of(core, 'user', user.oid)}{quota.defaults(core, 'user')}</USER>")]


def pool_body(core: Core, user: User) -> list[bytes]:
    """<USER> inside the pool."""
    return [escape_bytes("<USER>" + _fields(core, user)), user.template, escape_bytes("</TEMPLATE></USER>")]


USER = Kind("user", "USER", User, "one.user", "one.userpool", body, pool_body, owned=False, unique="all",
            own=lambda who: who.uid)
KINDS["user"] = USER
verbs.declare(USER, "info", "update")


@method("one.userpool.info", reads=True)
def pool_info(req: Request) -> Body:
    """All users (an ordinary user sees those of the own groups' pool entries that it may use: itself)."""
    records = verbs.select(req, USER, -2, -1, -1)
    out = verbs.pool_body(req, USER, records)
    each = "".join(f"<QUOTAS><ID>{u.oid}</ID>{quota.of(req.core, 'user', u.oid)}</QUOTAS>" for u in records)
    out[-1] = escape_bytes(f"{each}{quota.defaults(req.core, 'user')}</USER_POOL>")
    return out


async def _secret(core: Core, driver: str, password: str) -> str:
    """What is stored of PASSWORD for DRIVER; raises BadArgument when that driver cannot use it."""
    if driver in PASSWORD_DRIVERS:
        check_password(password)
        return await core.passwords.hash(password)
    if driver == "server_cipher" and not HASHED.match(password):
        check_password(password)
        return tokens.server_secret(password)
    if driver == "ssh":
        try:
            tokens.public_key(password)
        except ValueError as error:
            raise BadArgument(f"password of a user with driver ssh must be its RSA public key; {error}") from None
    return password


async def _hash_new(req: Request, name: str, password: str, driver: str = "", groups: Any = ()) -> str:
    return await _secret(req.core, driver or "core", password)


def check_password(password: str) -> None:
    """Raise BadArgument unless PASSWORD can be one."""
    if not password or any(c.isspace() for c in password):
        raise BadArgument("password must not be empty and must not hold blanks")


@method("one.user.allocate", prepare=_hash_new)
def allocate(req: Request, name: str, password: str, driver: str = "core", groups: list[int] = []) -> int:  # noqa: B006
    """Make a user; the first of GROUPS is the primary one (default: users; of a group's administrator that group)."""
    gids = groups or [1 if req.caller.admin else req.caller.gid]
    _check_groups(req, gids)
    driver = driver or "core"
    if driver not in DRIVERS:
        raise NotAllocated(f"driver must be one of {', '.join(DRIVERS)}, not {driver!r}")
    return register(req.tx, req.core, name, req.prepared, driver, gids).oid


def _check_groups(req: Request, gids: list[int]) -> None:
    """Raise Forbidden unless the caller may make users in the first of GIDS and manages the others."""
    verbs.require(req, "CREATE", "user", gids[0])
    for gid in gids:
        group = verbs.existing("group", req.core, gid)
        if gid != gids[0]:
            authorize(req.caller, "MANAGE", "group", group, rules(req.core))


def register(tx: Tx, core: Core, name: str, secret: str, driver: str, groups: list[int]) -> User:
    """A new user, the first of GROUPS its primary one; groups that are not there are left out.  Raises NotAllocated."""
    if ":" in name or any(c.isspace() for c in name):
        raise NotAllocated("NAME of a user must not hold colons or blanks")
    check_name(tx, core, USER, name, -1)
    gids = [g for g in dict.fromkeys(groups) if core.store.get(KINDS["group"].record, g) is not None] or [1]
    oid = tx.next_id("user")
    user = tx.put(User(oid, gids[0], name, secret, driver, 1, " ".join(map(str, gids)), "[]", b""))
    tx.log("user", oid, "create", new=name)
    return user


@method("one.user.delete", right="ADMIN", on="user")
def delete(req: Request, user: User) -> int:
    """Remove a user that owns nothing."""
    if user.oid in (0, 1):
        raise BadArgument(f"user {user.oid} ({user.name}) is part of the cloud and cannot be deleted", user.oid)
    for kind in KINDS.values():
        count = lookup(req.core, kind.name).owner.count(user.oid) if kind.owned else 0
        if count:
            raise BadArgument(f"user {user.oid} still owns {count} objects of kind {kind.name}; delete or chown them "
                              "first", user.oid)
    req.core.kinds["user.leaves"](req.tx, user.oid)
    forget_quota(req.tx, "user", user.oid)
    verbs.remove(req.tx, USER, user)
    req.core.sessions.drop(user.oid)
    return user.oid


async def _hash_password(req: Request, user: User, new_password: str) -> str:
    return await _secret(req.core, user.driver, new_password)


@method("one.user.passwd", right="MANAGE", on="user", prepare=_hash_password)
def passwd(req: Request, user: User, new_password: str) -> int:
    """Change the password."""
    change(req, replace(user, password=req.prepared), "PASSWORD")
    return user.oid


def change(req: Request, user: User, key: str) -> None:
    """Keep a user that was changed in KEY; who is logged in as it must prove it again."""
    req.tx.put(user)
    req.tx.log("user", user.oid, "update", keys=[key])
    req.core.sessions.drop(user.oid)


async def _hash_chauth(req: Request, user: User, new_auth: str, new_password: str = "") -> str:
    return await _secret(req.core, new_auth, new_password) if new_password else ""


@method("one.user.chauth", right="ADMIN", on="user", prepare=_hash_chauth)
def chauth(req: Request, user: User, new_auth: str, new_password: str = "") -> int:
    """Change the authentication driver and, unless empty, the secret."""
    if new_auth not in DRIVERS:
        raise BadArgument(f"new_auth must be one of {', '.join(DRIVERS)}, not {new_auth[:40]!r}")
    if new_auth in PASSWORD_DRIVERS and user.driver not in PASSWORD_DRIVERS and not new_password:
        raise BadArgument(f"password must be given: user {user.oid} has none that driver {new_auth} can check")
    change(req, replace(user, driver=new_auth, password=req.prepared if new_password else user.password),
            "AUTH_DRIVER")
    return user.oid


@method("one.user.enable", right="ADMIN", on="user")
def enable(req: Request, user: User, enable: bool) -> int:
    """Let the user in, or not: neither by password nor by token."""
    if user.oid == 0 and not enable:
        raise BadArgument(f"user 0 ({user.name}) cannot be disabled", 0)
    change(req, replace(user, enabled=int(enable)), "ENABLED")
    return user.oid


@method("one.user.login")
def login(req: Request, username: str, token: str, valid: int = 36000, egid: int = -1) -> str:
    """Make a login token of VALID seconds (-1: for ever), or reset them all (0); returns the token."""
    user = named(req.core, USER, username)
    if user is None and req.caller.admin:
        raise NoExists(f"Error getting user [{username}].")
    if user is None or not allowed(req.core, req.caller, "MANAGE", "user", user):
        raise Forbidden(f"User [{req.caller.uid}] : Not authorized to perform MANAGE USER [{username}].")
    if egid >= 0 and egid not in user.gids:
        raise BadArgument(f"egid {egid} is not a group of user {user.oid}")
    if valid == 0:
        kept = [t for t in json.loads(user.tokens) if token and t[0] != token_hash(token)]
        change(req, replace(user, tokens=json.dumps(kept)), "LOGIN_TOKEN")
        return token or " "
    if not -1 <= valid <= MAX_SECONDS:
        raise BadArgument(f"valid must be seconds up to {MAX_SECONDS}, 0 (reset) or -1 (for ever), not {valid}")
    made = token or secrets.token_hex(20)
    end = -1 if valid == -1 else req.core.now() + valid
    live = [t for t in json.loads(user.tokens) if t[1] == -1 or t[1] > req.core.now()]
    if len(live) >= 100:
        raise BadArgument(f"user {user.oid} has 100 login tokens; reset some first")
    change(req, replace(user, tokens=json.dumps([*live, [token_hash(made), end, egid]])), "LOGIN_TOKEN")
    return made
