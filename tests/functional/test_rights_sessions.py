"""Who is let in: passwords, login tokens, and that a change of a user counts at once for sessions already checked."""
from __future__ import annotations

import time

import pytest
from api_calls import AUTHENTICATION, AUTHORIZATION, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique
from test_rights import give, person


def test_a_token_is_as_good_as_the_password_until_it_ends(cloud: Cloud) -> None:
    """It expires also for a session that was checked before; one without an end stays."""
    who = person(cloud)
    made = who.client.text("one.user.login", who.name, "", 2, -1)
    other = who.client.text("one.user.login", who.name, "chosen", -1, -1)
    assert len(made) >= 32 and other == "chosen"
    short, long = cloud.client_as(who.name, made), cloud.client_as(who.name, "chosen")
    for client in (short, long):
        client.call("one.user.info", -1)
    assert made not in cloud.client.text("one.user.info", who.uid)
    time.sleep(2.1)
    refused(short, AUTHENTICATION, "one.user.info", -1)
    long.call("one.user.info", -1)


def test_tokens_are_reset_one_by_one_or_all(cloud: Cloud) -> None:
    """Seconds 0; who resets is let in by what is left."""
    who = person(cloud)
    clients = [cloud.client_as(who.name, who.client.text("one.user.login", who.name, word, 100)) for word in "abc"]
    who.client.call("one.user.login", who.name, "a", 0)
    refused(clients[0], AUTHENTICATION, "one.user.info", -1)
    clients[1].call("one.user.info", -1)
    cloud.client.call("one.user.login", who.name, "", 0)
    for client in clients[1:]:
        refused(client, AUTHENTICATION, "one.user.info", -1)
    who.client.call("one.user.info", -1)


def test_a_token_for_one_group_sees_that_group_alone(cloud: Cloud) -> None:
    """And makes its objects in it."""
    second = person(cloud)
    who = person(cloud, person(cloud).gid, second.gid)
    first_thing, second_thing = (give(cloud, "template", cloud.make_template(), owner, "640")
                                 for owner in (person(cloud, who.gid), second))
    for thing in (first_thing, second_thing):
        who.client.call("one.template.info", thing)
    token = who.client.text("one.user.login", who.name, "", 100, second.gid)
    narrow = cloud.client_as(who.name, token)
    narrow.call("one.template.info", second_thing)
    refused(narrow, AUTHORIZATION, "one.template.info", first_thing)
    refused(who.client, RPC_API, "one.user.login", who.name, "", 100, 0)


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


@pytest.mark.parametrize(("method", "given"), [
    ("one.user.passwd", ("another",)), ("one.user.chauth", ("ssh",)), ("one.user.chauth", ("core", "another")),
    ("one.user.enable", (False,)), ("one.user.delete", ())])
def test_a_change_of_the_user_ends_remembered_sessions(cloud: Cloud, method: str, given: tuple[object, ...]) -> None:
    """The call after it is refused."""
    who = person(cloud)
    who.client.call("one.user.info", -1)
    cloud.client.call(method, who.uid, *given)
    refused(who.client, AUTHENTICATION, "one.user.info", -1)
    if "another" in given:
        cloud.client_as(who.name, "another").call("one.user.info", -1)


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


def test_another_primary_group_counts_at_once(cloud: Cloud) -> None:
    """What the old group gave is gone, what the new one gives is there, for a session that was checked before."""
    who, other = person(cloud), person(cloud)
    old, new = (give(cloud, "template", cloud.make_template(), owner, "640")
                for owner in (person(cloud, who.gid), other))
    who.client.call("one.template.info", old)
    refused(who.client, AUTHORIZATION, "one.template.info", new)
    cloud.client.call("one.user.chgrp", who.uid, other.gid)
    who.client.call("one.template.info", new)
    refused(who.client, AUTHORIZATION, "one.template.info", old)


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
