"""Who is let in: passwords, login tokens that end, users who are disabled; what users change of themselves."""
from __future__ import annotations

import time

from api_calls import AUTHENTICATION, AUTHORIZATION, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique
from test_rights import person

from onecore.wire.client import ClientError


def test_a_token_is_as_good_as_the_password_until_it_ends(cloud: Cloud) -> None:
    """It expires also for a session that was checked before; one without an end stays."""
    who = person(cloud)
    asked = time.monotonic()
    made = who.client.text("one.user.login", who.name, "", 2, -1)
    other = who.client.text("one.user.login", who.name, "chosen", -1, -1)
    assert len(made) >= 32 and other == "chosen"
    short, long = cloud.client_as(who.name, made), cloud.client_as(who.name, "chosen")
    long.call("one.user.info", -1)
    try:
        short.call("one.user.info", -1)
    except ClientError:
        assert time.monotonic() - asked > 1, "it is refused before its end"
    assert made not in cloud.client.text("one.user.info", who.uid)
    time.sleep(2.1)
    refused(short, AUTHENTICATION, "one.user.info", -1)
    long.call("one.user.info", -1)


def test_who_makes_tokens_for_whom(cloud: Cloud) -> None:
    """Oneself and administrators; strangers do not learn who exists."""
    who, stranger = person(cloud), person(cloud)
    refused(stranger.client, AUTHORIZATION, "one.user.login", who.name, "", 100)
    refused(stranger.client, AUTHORIZATION, "one.user.login", "nobody", "", 100)
    refused(cloud.client, NO_EXISTS, "one.user.login", "nobody", "", 100)
    for seconds in (-2, 2**31):
        refused(who.client, RPC_API, "one.user.login", who.name, "", seconds)
    token = cloud.client.text("one.user.login", who.name, "", 100)
    cloud.client_as(who.name, token).call("one.user.info", -1)


def test_a_user_who_is_let_in_again(cloud: Cloud) -> None:
    """Disabled: neither password nor token; enabled: both again."""
    who = person(cloud)
    token = cloud.client_as(who.name, who.client.text("one.user.login", who.name, "", 100))
    for client in (who.client, token):
        client.call("one.user.info", -1)
    cloud.client.call("one.user.enable", who.uid, False)
    for client in (who.client, token):
        refused(client, AUTHENTICATION, "one.user.info", -1)
    cloud.client.call("one.user.enable", who.uid, True)
    for client in (who.client, token):
        client.call("one.user.info", -1)


def test_users_change_themselves_only_so_far(cloud: Cloud) -> None:
    """Password and template, not driver, group or being enabled; nobody's else."""
    who, other = person(cloud), person(cloud)
    who.client.call("one.user.update", who.uid, 'SSH_PUBLIC_KEY="ssh-rsa x"', 1)
    for verb, given in (("chauth", ("public",)), ("chgrp", (0,)), ("enable", (True,)), ("delete", ())):
        refused(who.client, AUTHORIZATION, f"one.user.{verb}", who.uid, *given)
    for verb, given in (("passwd", ("mine",)), ("update", ("A=1", 1)), ("info", ())):
        refused(who.client, AUTHORIZATION, f"one.user.{verb}", other.uid, *given)
    who.client.call("one.user.passwd", who.uid, "changed")
    refused(who.client, AUTHENTICATION, "one.user.info", -1)
    cloud.client_as(who.name, "changed").call("one.user.info", -1)


def test_wrong_sessions(cloud: Cloud) -> None:
    """Unknown user, wrong password, no colon, nothing, another one's token."""
    who, other = person(cloud), person(cloud)
    token = who.client.text("one.user.login", who.name, "", 100)
    for name, secret in ((unique("nobody"), "secret"), (who.name, "wrong"), (who.name, ""), ("", "secret"),
                         (other.name, token), (who.name, "*")):
        refused(cloud.client_as(name, secret), AUTHENTICATION, "one.user.info", -1)
