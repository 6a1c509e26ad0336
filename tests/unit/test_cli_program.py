"""What all programs share: exit codes, one-line errors, suggestions, accounts, colours, the pager, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.session import Account
from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lst",), "onevm: no command lst; did you mean list?"),
        (("delete", "3"), "onevm: no command delete; did you mean terminate, or recover --delete?"),
        (("backup", "3"), "onevm: no command backup: backups of VMs are not built yet"),
        (("livemigrate", "3", "node2"), "onevm: no command livemigrate; did you mean migrate --live?"),
        (("xyzzy",), "onevm: no command xyzzy (see onevm --help)"),
        (("list", "--extnded"), "Did you mean"),
        (("--what",), "onevm: No such option"),
        (("show",), "onevm show: Missing argument 'VM'."),
        (("create", "-m", "0"), "Invalid value for '-m'"),
    ],
)
def test_usage_errors(one: Runner, cloud: Cloud, arguments: tuple[str, ...], told: str) -> None:
    outcome = one("vm", *arguments)
    assert (outcome.code, outcome.out, cloud.calls) == (255, "", [])
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_an_error_of_the_server_is_one_line(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.info"] = ClientError("[one.vm.info] Error getting\nvirtual machine [3].", 0x400)
    outcome = one("vm", "show", "3")
    assert (outcome.code, outcome.out) == (255, "")
    assert outcome.err == "[one.vm.info] Error getting virtual machine [3].\n"


def test_help_and_version(one: Runner) -> None:
    assert one("vm", "-h").code == one("vm", "list", "-h").code == 0
    for arguments in (("-V",), ("list", "--version")):
        outcome = one("vm", *arguments)
        assert outcome.code == 0
        assert outcome.out.startswith("onecore ")
    assert one("vm").code == 255


def test_accounts(one: Runner, cloud: Cloud) -> None:
    cloud.vms()
    one("vm", "list")
    one("vm", "list", "--user", "ann", "--password", "x", "--endpoint", "http://y/RPC2")
    assert cloud.accounts == [Account(), Account("http://y/RPC2", "ann", "x")]


def test_environment_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cli.session import connect

    (tmp_path / "auth").write_text("ann:secret\n")
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "auth"))
    monkeypatch.setenv("ONE_XMLRPC", "http://127.0.0.1:7/RPC2")
    client = connect(Account())
    assert (client.secret, client.url) == ("ann:secret", "http://127.0.0.1:7/RPC2")  # type: ignore[attr-defined]


def test_login_writes_the_token(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "new/one_auth"
    monkeypatch.setenv("ONE_AUTH", str(file))
    cloud.answers["one.user.login"] = "t0ken"
    outcome = one("user", "login", "--user", "ann", "--password", "x", "--time", "60")
    assert (outcome.code, outcome.err) == (0, "")
    assert cloud.made("one.user.login") == [("ann", "", 60, -1)]
    assert file.read_text() == "ann:t0ken\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert one("user", "login", "--user", "ann", "--password", "x").code == 255
    cloud.answers["one.user.login"] = "other"
    assert one("user", "login", "--force").code == 0
    assert file.read_text() == "ann:other\n"


def tty(monkeypatch: pytest.MonkeyPatch, lines: int = 50) -> None:
    """Standard output is a terminal of 100 columns."""
    monkeypatch.setattr("cli.session.on_terminal", lambda: True)
    monkeypatch.setattr("cli.listing.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", str(lines))


def test_colours_only_on_a_terminal_and_without_no_color(
    one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.vms(cloud.vm(0, "web"))
    assert "\x1b" not in one("vm", "list").out
    tty(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32mrunn" in one("vm", "list").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in one("vm", "list").out


def test_the_pager_is_used_when_the_screen_is_too_small(
    one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud.vms(*(cloud.vm(i, f"vm{i}") for i in range(9)))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("ONE_PAGER", f"tee {tmp_path}/paged")
    assert len(one("vm", "list").out.splitlines()) == 10
    assert not (tmp_path / "paged").exists()
    tty(monkeypatch, lines=5)
    assert len(one("vm", "list", "--no-pager").out.splitlines()) == 10
    assert not (tmp_path / "paged").exists()
    one("vm", "list")
    assert len((tmp_path / "paged").read_text().splitlines()) == 10
    assert all(len(line) <= 100 for line in (tmp_path / "paged").read_text().splitlines())


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = "from cli.main import onevm; raise SystemExit(onevm(['list', '--describe']))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout and child.stderr
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


LISTING = """
import sys
from cli import session
class Server:
    def call(self, method, *arguments, timeout=None):
        from onecore.wire import client
        return "<VM_POOL/>"
session.connect = lambda account: Server()
from cli.main import onevm
assert onevm(["list"]) == 0
print(sorted(name.partition(".")[0] for name in sys.modules))
"""
HEAVY = {"rich", "yaml", "json", "csv", "asyncio", "sqlalchemy", "numpy", "uvicorn", "libvirt", "tempfile", "difflib"}


def test_a_list_imports_nothing_that_it_does_not_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=True, env={**os.environ, "ONE_PAGER": ""}
    )
    assert {name for name in HEAVY if f"'{name}'" in done.stdout} == set()


def test_help_imports_no_client() -> None:
    told = "print([name in sys.modules for name in ('onecore.wire.client', 'lxml')])"
    script = f"import sys; from cli.main import onevm; onevm(['--help']); {told}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[False, False]"
