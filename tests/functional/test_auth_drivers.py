"""Ways to prove who one is: a server's word for its users, SSH keys, a real LDAP directory; and what guesses get."""
from __future__ import annotations

import base64
import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_calls import AUTHENTICATION, RPC_API, refused
from cloud_process import Cloud, Settings, unique
from makers import MakeCloud
from sim import Refused
from sim_ground import Ground
from slapd import Slapd, program

from onecore.auth import tokens
from onecore.wire.client import Client

LATER = int(time.time()) + 86400


def enters(client: Client) -> str:
    """The name under which a session is in; fails when it is not."""
    return client.text("one.user.info", -1).partition("<NAME><![CDATA[")[2].partition("]]>")[0]


def stays_out(client: Client) -> str:
    return refused(client, AUTHENTICATION, "one.user.info", -1)


@pytest.fixture(scope="module")
def server(shared_cloud: Cloud) -> str:
    """What is stored of serveradmin's password, made from the file that services read."""
    name, _, password = (shared_cloud.home / "serveradmin_auth").read_text().strip().partition(":")
    assert name == "serveradmin" and (shared_cloud.home / "serveradmin_auth").stat().st_mode & 0o777 == 0o600
    return tokens.server_secret(password)


def speaks(cloud: Cloud, server: str, target: str, middle: str = "", expires: int = LATER, named: str = "") -> Client:
    """A session of serveradmin for TARGET."""
    proof = tokens.make_server_proof(server, "serveradmin", named or target, expires)
    return cloud.client_as("serveradmin", f"{target}:{middle}{proof}")


def test_a_server_speaks_for_its_users(cloud: Cloud, server: str) -> None:
    """With their rights, in one of their groups if it says so; not after the end, nor for another than it proved."""
    group = cloud.client.number("one.group.allocate", unique("group"))
    uid, user = cloud.make_user()
    name = enters(user)
    assert enters(speaks(cloud, server, name)) == name
    cloud.client.call("one.user.chgrp", uid, group)
    inside = speaks(cloud, server, name, f"{group}:")
    assert f"<GID>{group}</GID>" in inside.text("one.user.info", -1)
    stays_out(speaks(cloud, server, name, "0:"))
    stays_out(speaks(cloud, server, name, expires=int(time.time()) - 1))
    stays_out(speaks(cloud, server, name, named="oneadmin"))
    stays_out(speaks(cloud, server, "nobody-of-that-name"))
    stays_out(speaks(cloud, server, name, "²:"))
    stays_out(cloud.client_as("serveradmin", "no-colon-in-it"))
    cloud.client.call("one.user.enable", uid, False)
    stays_out(speaks(cloud, server, name))


def test_a_servers_sessions_end_with_its_password(cloud: Cloud) -> None:
    """Those that it speaks for are thrown out too."""
    name, password = unique("server"), "first-password"
    server_id = cloud.client.number("one.user.allocate", name, password, "server_cipher", [0])
    proof = tokens.make_server_proof(tokens.server_secret(password), name, "oneadmin", LATER)
    session = cloud.client_as(name, f"oneadmin:{proof}")
    assert enters(session) == "oneadmin"
    cloud.client.call("one.user.passwd", server_id, "second-password")
    stays_out(session)


def test_ssh_keys(cloud: Cloud, tmp_path: Path) -> None:
    """A token that the private key signed, for its own user and time; a key that cannot do that is refused at once."""
    key, name = tmp_path / "id_rsa", unique("sshuser")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", str(key)], check=True)
    cloud.client.number("one.user.allocate", name, key.with_suffix(".pub").read_text().strip(), "ssh", [])

    def token(text: str) -> str:
        signed = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", str(key)], input=text.encode(),
                                capture_output=True, check=True).stdout
        return base64.b64encode(signed).decode()
    assert enters(cloud.client_as(name, token(f"{name}:{LATER}"))) == name
    stays_out(cloud.client_as(name, token(f"oneadmin:{LATER}")))
    stays_out(cloud.client_as(name, token(f"{name}:{int(time.time()) - 1}")))
    stays_out(cloud.client_as("oneadmin", token(f"oneadmin:{LATER}")))
    assert "RSA public key" in refused(cloud.client, RPC_API, "one.user.allocate", unique("u"), "nonsense", "ssh", [])


def test_users_of_other_drivers_come_with_tokens_only(cloud: Cloud) -> None:
    """public: no password lets it in; an administrator's token does."""
    name = unique("public")
    cloud.client.number("one.user.allocate", name, "whatever", "public", [])
    stays_out(cloud.client_as(name, "whatever"))
    token = cloud.client.text("one.user.login", name, "", 60)
    assert enters(cloud.client_as(name, token)) == name


def test_hashes_of_an_import_are_accepted(cloud: Cloud) -> None:
    """SHA-256 of the password, as OpenNebula stores it, through a restore of rows; here by the pure check."""
    from onecore.auth.password import Passwords
    passwords = Passwords(1, 32)
    assert passwords.check_now(hashlib.sha256(b"old").hexdigest(), "old")
    assert not passwords.check_now(hashlib.sha256(b"old").hexdigest(), "new")
    passwords.close()


def test_guesses_are_slowed_down(ground: Ground) -> None:
    """After five wrong ones even the right one waits; known sessions and tokens go on; never user 0 on this machine."""
    sim = ground.sim
    uid = int(sim.call("one.user.allocate", "ann", "right-secret", "", [1]))

    def known(password: str) -> bool:
        return "<NAME><![CDATA[ann]]>" in sim.call("one.user.info", -1, secret=f"ann:{password}")

    def unknown(password: str, name: str = "ann") -> str:
        with pytest.raises(Refused) as said:
            sim.call("one.user.info", -1, secret=f"{name}:{password}")
        assert said.value.code == AUTHENTICATION
        return str(said.value)
    token = sim.call("one.user.login", "ann", "", 600, secret="ann:right-secret")
    assert known("right-secret")
    assert not ["try again" for number in range(5) if "try again" in unknown(f"wrong{number}")]
    assert "try again in" in unknown("another")
    assert known("right-secret") and known(token)
    sim.call("one.user.passwd", uid, "other-secret")
    assert "try again in" in unknown("other-secret")
    sim.advance(2.2)
    assert known("other-secret")
    assert not [number for number in range(7) if "try again" in unknown(f"wrong{number}", "oneadmin")]


# -- LDAP

@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    if program() is None:
        pytest.skip("no LDAP server is installed (Debian package slapd)")
    made = Slapd(tmp_path_factory.mktemp("slapd")).start()
    yield made
    made.stop()


def settings(directory: Slapd, **more: object) -> Settings:
    return {"auth": {"default_driver": "ldap"}, "ldap": {
        "url": directory.url, "base": "dc=example,dc=org", "bind_dn": "uid=otto,dc=example,dc=org",
        "bind_password": "secret-of-otto", "timeout": 20, **more}}


def test_people_of_a_directory_become_users(make_cloud: MakeCloud, directory: Slapd) -> None:
    """At their first call, in the groups that theirs mean; a wrong password makes nobody."""
    cloud = make_cloud(settings(directory, groups="cn=cloud,dc=example,dc=org => 100"))
    group = cloud.client.number("one.group.allocate", "staff")
    assert group == 100
    for wrong in ("wrong", "", "secret-of-otto"):
        stays_out(cloud.client_as("vera", wrong))
    stays_out(cloud.client_as("v*", "secret-of-vera"))
    assert "[vera]" not in cloud.client.text("one.userpool.info")
    vera = cloud.client_as("vera", "secret-of-vera")
    assert enters(vera) == "vera"
    told = vera.text("one.user.info", -1)
    assert "<GID>100</GID>" in told and "<AUTH_DRIVER><![CDATA[ldap]]></AUTH_DRIVER>" in told
    assert "<GID>1</GID>" in cloud.client_as("otto", "secret-of-otto").text("one.user.info", -1)


def test_a_group_may_be_required_and_a_directory_may_be_away(make_cloud: MakeCloud, directory: Slapd) -> None:
    """Not in the group: no. Not reachable: no, and why; who has a token or is remembered goes on."""
    cloud = make_cloud(settings(directory, group="cn=cloud,dc=example,dc=org"))
    stays_out(cloud.client_as("otto", "secret-of-otto"))
    vera = cloud.client_as("vera", "secret-of-vera")
    token = vera.text("one.user.login", "vera", "", 600)
    assert enters(vera) == "vera"
    directory.stop()
    try:
        assert "directory cannot be asked" in stays_out(cloud.client_as("vera", "secret-of-vera "))
        assert enters(vera) == "vera" == enters(cloud.client_as("vera", token))
    finally:
        directory.start()
