"""What is decided before any byte is sent: settings, which keys are believed, when the next try is."""
from __future__ import annotations

from pathlib import Path

import paramiko
import pytest

from drivers.base import Permanent, Temporary
from drivers.ssh import connect
from drivers.ssh.breaker import Breaker
from drivers.ssh.keys import client_keys
from drivers.ssh.settings import Settings, Target, is_here, parse, target
from drivers.ssh.trust import Trust

KEY = paramiko.ECDSAKey.generate()
LINE = f"{KEY.get_name()} {KEY.get_base64()}"
NODE = Target("node1", "root", 22)
ODD = Target("node1", "root", 2222)


def trust(home: Path, text: str, first_use: bool = False) -> Trust:
    (home / "ssh").mkdir(exist_ok=True)
    (home / "ssh" / "known_hosts").write_text(text)
    return Trust(home, Settings(known_hosts=str(home / "ssh" / "known_hosts"), trust_first_use=first_use))


def hashed(name: str) -> str:
    return paramiko.HostKeys.hash_host(name)


@pytest.mark.parametrize(("patterns", "goal"), [
    ("node1", NODE), ("other,node1", NODE), ("NODE1", NODE), ("node*", NODE), ("node?", NODE), (hashed("node1"), NODE),
    ("[node1]:2222", ODD), (hashed("[node1]:2222"), ODD), ("*", ODD),
], ids=lambda given: "" if isinstance(given, str) and given.startswith("|1|") else None)
def test_names_that_mean_the_host(tmp_path: Path, patterns: str, goal: Target) -> None:
    trust(tmp_path, f"{patterns} {LINE} a comment\n").verify(goal, KEY)


@pytest.mark.parametrize(("text", "goal"), [
    ("", NODE), (f"node10 {LINE}", NODE), (f"#node1 {LINE}", NODE), (f"node*,!node1 {LINE}", NODE),
    (f"node1 {LINE}", ODD), (f"[node1]:2222 {LINE}", NODE), (f"@cert-authority node1 {LINE}", NODE), ("node1 x", NODE),
], ids=lambda given: given.replace(LINE, "KEY") if isinstance(given, str) else None)  # the same in every process
def test_names_that_mean_another(tmp_path: Path, text: str, goal: Target) -> None:
    with pytest.raises(Permanent, match="is not known.*ssh-keyscan"):
        trust(tmp_path, text).verify(goal, KEY)


@pytest.mark.parametrize("kind", ["ssh-ed25519", KEY.get_name()])
def test_another_key_of_a_known_host_is_refused_whatever_is_wished(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Permanent, match="HAS CHANGED"):
        trust(tmp_path, f"node1 {kind} AAAA\n", first_use=True).verify(NODE, KEY)


def test_a_revoked_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="revoked"):
        trust(tmp_path, f"node1 {LINE}\n@revoked * {LINE}\n", first_use=True).verify(NODE, KEY)


def test_first_use_appends_a_whole_line(tmp_path: Path) -> None:
    believer = trust(tmp_path, "# no newline", first_use=True)
    believer.verify(ODD, KEY)
    believer.verify(ODD, KEY)
    assert (tmp_path / "ssh" / "known_hosts").read_text() == f"# no newline\n[node1]:2222 {LINE}\n"
    assert believer.kinds(ODD) == [KEY.get_name()]


@pytest.mark.parametrize(("section", "text"), [
    ({"usr": "x"}, "no setting usr"), ({"port": "22"}, "port is '22'"), ({"port": 0}, "port is 0"),
    ({"port": True}, "port is True"), ({"trust_first_use": 1}, "trust_first_use is 1"), ({"user": 5}, "user is 5"),
    ({"connect_timeout": -1}, "connect_timeout is -1"), ({"port": 2.5}, "port is 2.5"),
])
def test_wrong_settings_are_named(section: dict[str, object], text: str) -> None:
    with pytest.raises(Permanent, match=text):
        parse(section)


def test_settings_and_attributes() -> None:
    settings = parse({"user": "cloud", "port": 2200, "connect_timeout": 2})
    assert target({"name": "a"}, settings) == Target("a", "cloud", 2200)
    assert target({"name": "a", "attrs": {"SSH_USER": "b", "SSH_PORT": "22"}}, settings) == Target("a", "b", 22)
    for port in ("x", "0", "70000"):
        with pytest.raises(Permanent, match="SSH_PORT"):
            target({"name": "a", "attrs": {"SSH_PORT": port}}, settings)


@pytest.mark.parametrize(("name", "here"), [
    ("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("", True),
    ("10.0.0.1", False), ("node1", False), ("127node", False), ("::2", False),
])
def test_this_machine(name: str, here: bool) -> None:
    assert is_here({"name": name}) is here


def test_no_key_is_told_with_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Permanent, match=r"no SSH key: there is no .*/ssh/id_ed25519 and no"):
        client_keys(tmp_path, Settings())
    KEY.write_private_key_file(str(tmp_path / "locked"), password="secret")
    with pytest.raises(Permanent, match="passphrase"):
        client_keys(tmp_path, Settings(key=str(tmp_path / "locked")))
    (tmp_path / "torn").write_text("-----BEGIN")
    with pytest.raises(Permanent, match="torn cannot be read"):
        client_keys(tmp_path, Settings(key=str(tmp_path / "torn")))


def test_a_key_that_cannot_be_used_keeps_no_other_from_being_used(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".ssh", "ssh"):
        (tmp_path / name).mkdir()
    KEY.write_private_key_file(str(tmp_path / ".ssh" / "id_rsa"), password="secret")
    (tmp_path / ".ssh" / "id_ecdsa").write_text("-----BEGIN")
    with pytest.raises(Permanent, match="id_ecdsa cannot be read"):
        client_keys(tmp_path, Settings())
    KEY.write_private_key_file(str(tmp_path / "ssh" / "id_ed25519"))
    assert [key.get_base64() for key in client_keys(tmp_path, Settings())] == [KEY.get_base64()]


def test_an_address_that_says_nothing_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    class Silent:
        def __init__(self, family: int, kind: int, protocol: int) -> None:
            self.number = family

        def settimeout(self, seconds: float) -> None:
            times.append(seconds)

        def connect(self, address: str) -> None:
            if address != "good":
                raise TimeoutError

        def close(self) -> None:
            """It is."""
    monkeypatch.setattr(connect, "_left", lambda end: end)
    monkeypatch.setattr(connect.socket, "socket", Silent)
    monkeypatch.setattr(connect.socket, "getaddrinfo", lambda *_, **__: [
        (number, 0, 0, "", address) for number, address in enumerate(("silent", "silent", "good"))])
    assert connect._reached(NODE, 9.0).number == 2  # type: ignore[attr-defined]
    assert times == [3.0, 4.5, 9.0, 9.0], "time stands still here"


def test_tries_become_rarer_and_the_reason_stays() -> None:
    time = [100.0]
    breaker = Breaker(lambda: time[0])
    breaker.check()
    for wait in (1, 2, 4, 8, 10, 10):
        news = breaker.failed(Temporary("node1: refused"))
        assert news is (wait == 1)
        time[0] += wait - 0.1
        with pytest.raises(Temporary, match=r"node1: refused \(next try in 1 s\)"):
            breaker.check()
        time[0] += 0.1
        breaker.check()
    breaker.failed(Permanent("node1: changed"))
    with pytest.raises(Permanent, match="changed"):
        breaker.check()
    breaker.succeeded()
    breaker.check()
    assert breaker.failed(Temporary("again"))
    time[0] += 1
    breaker.check()
