"""What `onecore reconcile` shows, the SSH key of a home, and how backup and restore reach oned's own program."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.local import keys, launch, reconcile, upkeep
from cli.local.home import Home
from cli.onecore import main

HELD = {
    "held": True,
    "restored": 1_800_000_100,
    "backup": 1_800_000_000,
    "unseen": [3],
    "waiting": 2,
    "owed": 1,
    "hosts": [
        {
            "id": 2,
            "name": "node2",
            "state": "MONITORED",
            "compared": True,
            "error": "",
            "wild": [{"id": 900, "name": "one-900", "generation": 1, "state": "running"}],
            "moved": [
                {
                    "id": 5,
                    "name": "one-5",
                    "generation": 2,
                    "state": "running",
                    "recorded": {"name": "db", "host": -1, "generation": 1, "state": "PENDING"},
                }
            ],
            "changed": [
                {
                    "id": 6,
                    "name": "one-6",
                    "generation": 5,
                    "state": "suspended",
                    "recorded": {"name": "web", "host": 2, "generation": 3, "state": "RUNNING"},
                }
            ],
            "missing": [{"id": 7, "name": "gone", "generation": 4, "state": "RUNNING"}],
        },
        {
            "id": 3,
            "name": "node3",
            "state": "ERROR",
            "compared": False,
            "error": "no route",
            "wild": [],
            "moved": [],
            "changed": [],
            "missing": [],
        },
    ],
}


def test_a_held_cloud() -> None:
    text = "\n".join(reconcile.lines(HELD, False))
    assert text.startswith("restored on 2027-01-15 08:01:40 UTC from a backup of 2027-01-15 08:00:00 UTC")
    for words in (
        ("2", "node2", "MONITORED", "yes", "4"),
        ("3", "node3", "ERROR", "no: no route", "0"),
        ("2", "900", "one-900", "running, generation 1", "made after the backup; left alone"),
        ("5", "PENDING on no host, generation 1", "--take-over"),
        ("6", "suspended, generation 5", "RUNNING, generation 3", "taken over once this is accepted"),
        ("7", "gone", "RUNNING, generation 4", "POWEROFF once this is accepted"),
    ):
        assert any(all(word in line for word in words) for line in text.splitlines()), words
    assert "2 commands and 1 clean-ups wait" in text


def test_an_older_guest_is_told_apart() -> None:
    older = json.loads(json.dumps(HELD))
    older["hosts"][0]["changed"][0]["generation"] = 1
    assert "older than recorded; left alone" in "\n".join(reconcile.lines(older, False))


def test_an_accepted_cloud() -> None:
    answer = {**HELD, "held": False, "adopted": [5, 6]}
    assert next(reconcile.lines(answer, True)) == "accepted; VMs taken over as they run: 5, 6"
    assert next(reconcile.lines({**answer, "adopted": []}, True)) == "accepted; VMs taken over as they run: none"
    assert next(reconcile.lines(answer, False)) == "this cloud is not held"


class Fake:
    """A client that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def text(self, *words: object) -> str:
        """Answer."""
        self.asked.append(words)
        return json.dumps({**HELD, "adopted": []})

    def close(self) -> None:
        """Nothing to do."""


def test_options_reach_the_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    monkeypatch.setattr(launch, "client", lambda home, endpoint, timeout: fake)
    for options, wanted in (((), [False] * 3), (("--accept", "--take-over"), [True, False, True]), (
            ("--accept", "--force", "-j"), [True, True, False])):
        assert main(["reconcile", "--home", str(tmp_path), *options]) == 0
        assert fake.asked.pop() == ("onecore.reconcile", *wanted)


def test_backup_and_restore_run_the_daemons_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        ran.append(words[3:])
        return subprocess.CompletedProcess(words, len(ran) - 1)

    monkeypatch.setattr(upkeep.subprocess, "run", run)
    home = ["--home", str(tmp_path)]
    assert main(["backup", "a.tar", *home, "--series", "--config", "x.conf"]) == 0
    assert main(["restore", "-", *home, "--force"]) == 255, "what failed there failed here"
    assert ran == [
        ["backup", *home, "--config", "x.conf", "--series", "--", "a.tar"],
        ["restore", *home, "--force", "--", "-"],
    ]


def test_a_restore_that_was_cut_off_is_completed_before_the_home_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        ran.append(words[3:])
        return subprocess.CompletedProcess(words, 1)

    monkeypatch.setattr(upkeep.subprocess, "run", run)
    (tmp_path / "restore.ready").mkdir()
    assert main(["up", "--home", str(tmp_path)]) == 255
    assert ran == [["finish", "--home", str(tmp_path)]] and "cannot be completed" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_key_is_made_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert keys.public(home) == ""
    assert keys.ensure(home)
    line, private = keys.public(home), keys.path(home).read_bytes()
    assert line.startswith("ssh-ed25519 AAAA") and "onecore@" in line and "\n" not in line
    assert keys.path(home).stat().st_mode & 0o777 == 0o600
    assert keys.path(home).parent.stat().st_mode & 0o777 == 0o700
    assert not keys.ensure(home) and keys.path(home).read_bytes() == private
    keys.path(home).with_name("id_ed25519.new").write_text("cut off")
    keys.path(home).unlink()
    assert keys.ensure(home) and keys.public(home) != line


def test_without_ssh_keygen_it_is_said_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.shutil, "which", lambda name: None)
    with pytest.raises(CliError, match="apt-get install -y openssh-client"):
        keys.ensure(Home(tmp_path))
