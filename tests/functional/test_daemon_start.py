"""oned at its start and end: what it refuses and how it says so, TLS, credentials, signals."""
from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cloud_process import PATIENCE, Cloud, free_port, until
from makers import MakeCloud

from onecore.__main__ import _warn_plaintext, main
from onecore.config import Config, Server
from onecore.log import Log
from onecore.pool.schema import VERSION
from onecore.wire import xmlrpc
from onecore.wire.client import Client, ClientError


def _refusal(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What oned says when it does not start."""
    assert main(["--home", str(home), "--port", str(free_port()), *arguments]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(("text", "named"), [
    ("[server]\nlissten = 'x'\n", "server.lissten"), ("[server]\nmax_request_mb = 'x'\n", "server.max_request_mb"),
    ("[sever]\n", "[sever]"), ("[server\n", "oned.conf"),
    ("[server]\ntls_cert = '/nowhere/cert.pem'\n", "server.tls_cert /nowhere/cert.pem"),
    ("[server]\ntls_key = '/nowhere/key.pem'\n", "server.tls_key")])
def test_a_bad_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str) -> None:
    """Nothing is made in the home then."""
    (tmp_path / "oned.conf").write_text(text)
    assert named in _refusal(tmp_path, capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["oned.conf"]


def test_a_newer_schema_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With both numbers."""
    with sqlite3.connect(tmp_path / "onecore.db") as db:
        db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER)")
        db.execute("INSERT INTO meta VALUES ('schema', ?)", (VERSION + 7,))
    db.close()
    said = _refusal(tmp_path, capsys)
    assert f"schema {VERSION + 7}" in said and "newer release" in said


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, not with a traceback."""
    (tmp_path / "onecore.db").write_text("this is no database at all\n" * 100)
    said = _refusal(tmp_path, capsys)
    assert "onecore.db cannot be used" in said and "Traceback" not in said


def test_two_daemons(cloud: Cloud) -> None:
    """One home has one oned, one port one listener; the first is not disturbed."""
    other = [("--home", str(cloud.home), "--port", str(free_port())),
             ("--home", str(cloud.home.parent / "another"), "--port", str(cloud.port))]
    said = [subprocess.run(["oned", *arguments], executable=_oned(), capture_output=True, text=True, timeout=50,
                           env=cloud.environment) for arguments in other]
    assert [one.returncode for one in said] == [1, 1]
    assert f"another oned (pid {cloud.pid}) runs on {cloud.home}" in said[0].stderr
    assert f"cannot listen on 127.0.0.1 port {cloud.port}" in said[1].stderr and "in use" in said[1].stderr
    assert cloud.client.text("one.system.version")


def _oned() -> str:
    """The program."""
    return str(Path(sys.executable).with_name("oned"))


@pytest.mark.parametrize(("listen", "warned"), [("127.0.0.1", False), ("::1", False), ("localhost", False),
                                                ("0.0.0.0", True), ("192.0.2.1", True), ("cloud.example", True)])
def test_the_warning_about_plain_text(tmp_path: Path, listen: str, warned: bool) -> None:
    """Elsewhere than on loopback, without TLS."""
    log = Log(tmp_path)
    _warn_plaintext(Config(Server(listen=listen)), log)
    _warn_plaintext(Config(Server(listen=listen, tls_cert="cert.pem")), log)
    log.close()
    assert (tmp_path / "oned.log").read_text().count("without TLS") == int(warned)


def test_tls(make_cloud: MakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody signed: refused by a client that checks, taken by one that is told not to."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "1", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True, timeout=30)
    cloud = make_cloud({"server": {"tls_cert": str(cert), "tls_key": str(key)}}, start=False)
    cloud.endpoint = cloud.endpoint.replace("http:", "https:")
    monkeypatch.setenv("ONE_DISABLE_SSL_VERIFY", "YES")
    cloud.start()
    assert cloud.client.text("one.system.version") == "7.4.0"
    monkeypatch.delenv("ONE_DISABLE_SSL_VERIFY")
    with pytest.raises(ClientError, match="(?i)certificate"):
        Client(cloud.endpoint, "a:b").call("one.system.version")
    with pytest.raises(ClientError, match="cannot reach|answered|closed"):
        Client(cloud.endpoint.replace("https:", "http:"), "a:b").call("one.system.version")


def test_credentials(make_cloud: MakeCloud) -> None:
    """HOME/one_auth and ~/.one/one_auth, for their owner only; one that is there is left alone, and said to differ."""
    cloud = make_cloud()
    own, theirs = cloud.home / "one_auth", cloud.user_home / ".one" / "one_auth"
    assert {own.stat().st_mode & 0o777, theirs.stat().st_mode & 0o777} == {0o600}
    assert own.read_text() == theirs.read_text()
    made = own.read_text()
    cloud.stop()
    theirs.write_text("somebody:else\n")
    cloud.start()
    assert (own.read_text(), theirs.read_text()) == (made, "somebody:else\n")
    log = (cloud.home / "log" / "oned.log").read_text()
    assert f"{theirs} holds other credentials" in log and made.split(":")[1].strip() not in log
    assert not [p for p in cloud.home.glob("*.db*") if p.stat().st_mode & 0o077]


def test_sigterm(cloud: Cloud) -> None:
    """It says what is under way, answers who waits, ends at once with 0; the next start goes on."""
    host, vm = cloud.add_hosts(1)[0], cloud.make_vm()
    cloud.hold("vm.deploy", vm=vm)
    cloud.client.call("one.vm.deploy", vm, host)
    cloud.wait_vm(vm, "BOOT")
    with _poll(cloud) as poll:
        for _ in range(3):  # when these are answered, oned has read what was sent before
            epoch = json.loads(cloud.client.text("onecore.status"))["epoch"]
        assert cloud.oned is not None
        cloud.oned.send_signal(signal.SIGTERM)
        assert cloud.oned.wait(40) == 0  # and not after the 50 s that the poll would wait
        assert b'"events"' in b"".join(iter(lambda: poll.recv(1 << 16), b""))
    log = (cloud.home / "log" / "oned.log").read_text()
    assert f"vm.deploy of vm {vm}" in log and "SIGTERM" in log and log.rstrip().endswith("oned ended")
    cloud.start()
    cloud.dummy()
    cloud.wait_vm(vm, "RUNNING")
    assert json.loads(cloud.client.text("onecore.status"))["epoch"] == epoch + 1


def _poll(cloud: Cloud) -> socket.socket:
    """The events from now on, asked for on a connection of its own: the question is on its way when this returns."""
    last = json.loads(cloud.client.text("onecore.events", -1, 0))["last"]
    body = xmlrpc.encode_call("onecore.events", (":".join(cloud.credentials()), last, 50))
    asked = socket.create_connection(("127.0.0.1", cloud.port), timeout=PATIENCE)
    asked.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return asked


@pytest.mark.sqlite
def test_a_first_start_that_was_cut_off(make_cloud: MakeCloud) -> None:
    """Tables but no schema number yet, a password file but no user: the next start makes the rest."""
    cloud = make_cloud(start=False)
    (cloud.home / "one_auth").write_text("oneadmin:first-password\n")
    with sqlite3.connect(cloud.home / "onecore.db") as db:
        db.execute("CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value BIGINT)")
    db.close()
    cloud.start()
    assert cloud.credentials() == ("oneadmin", "first-password")


def test_oned_is_not_stopped_by_a_hangup_of_its_drivers(cloud: Cloud) -> None:
    """SIGHUP reaches the drivers too, and they live on."""
    before = json.loads(cloud.client.text("onecore.status"))["drivers"]
    os.kill(cloud.pid, signal.SIGHUP)
    until(2.0, "an answer", lambda: cloud.client.text("one.system.version"))
    time.sleep(0.2)
    assert json.loads(cloud.client.text("onecore.status"))["drivers"] == before
