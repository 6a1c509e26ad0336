"""Users of an LDAP directory: their password is tried there, their groups may decide those here.

It blocks, so it is used in a thread, and is imported only where there is a directory.
"""
from __future__ import annotations

from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from onecore.auth.people import Person, Unavailable, mapping
from onecore.config import Ldap


def check(config: Ldap, name: str, password: str) -> Person | None:
    """The person NAME if PASSWORD is the entry's; None when it is not, or there is no entry.  Raises Unavailable."""
    if not password:  # an empty one would be an anonymous bind, which succeeds
        return None
    try:
        entry = _entry(config, name)
        if entry is None or not _bind(config, entry["dn"], password):
            return None
        groups = _groups(config, entry)
    except LDAPException as error:
        raise Unavailable(f"{type(error).__name__}: {error}"[:200]) from None
    if config.group and config.group.lower() not in groups:
        return None
    known = mapping(config.groups)
    return Person(entry["dn"], tuple(dict.fromkeys(known[dn] for dn in groups if dn in known)))


def _server(config: Ldap) -> ldap3.Server:
    return ldap3.Server(config.url, get_info=ldap3.NONE, connect_timeout=config.timeout)


def _connection(config: Ldap, dn: str, password: str) -> ldap3.Connection:
    connection = ldap3.Connection(_server(config), dn or None, password or None, receive_timeout=config.timeout,
                                  read_only=True)
    if config.start_tls:
        connection.start_tls()
    return connection


def _bind(config: Ldap, dn: str, password: str) -> bool:
    connection = _connection(config, dn, password)
    try:
        return bool(connection.bind())
    finally:
        connection.unbind()


def _search(config: Ldap, text: str, attributes: list[str]) -> list[dict[str, Any]]:
    connection = _connection(config, config.bind_dn, config.bind_password)
    try:
        if not connection.bind():
            raise Unavailable(f"the directory refuses ldap.bind_dn: {connection.result.get('description')}")
        connection.search(config.base, text, attributes=attributes, size_limit=1000)
        return [e for e in connection.response or [] if e.get("type") == "searchResEntry"]
    finally:
        connection.unbind()


def _entry(config: Ldap, name: str) -> dict[str, Any] | None:
    text = f"({config.user_field}={escape_filter_chars(name)})"
    if config.user_filter:
        text = f"(&{text}{config.user_filter})"
    found = _search(config, text, [config.member_of] if config.member_of else [])
    return found[0] if len(found) == 1 else None


def _groups(config: Ldap, entry: dict[str, Any]) -> set[str]:
    """The DNs, in lower case, of the groups that the entry names, or that name it."""
    if not config.group and not config.groups:
        return set()
    if config.member_of:
        told = entry.get("attributes", {}).get(config.member_of, [])
        return {str(dn).lower() for dn in ([told] if isinstance(told, str) else told)}
    text = f"({config.group_field}={escape_filter_chars(entry['dn'])})"
    return {str(e["dn"]).lower() for e in _search(config, text, [])}
