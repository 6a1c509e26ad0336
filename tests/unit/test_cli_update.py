"""`update`: from a file, standard input or an editor."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


@pytest.fixture(autouse=True)
def terminal(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is piped in; temporary files go to a place of their own."""
    monkeypatch.setattr("cli.source.piped", lambda: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", user="<B>x</B><A>1</A>")
    cloud.answers["one.vm.update"] = 7


def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """An $EDITOR with an argument of its own that runs SCRIPT on the file $2."""
    program = tmp_path / "editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"{program} --wait")


def drafts(tmp_path: Path) -> list[Path]:
    """Texts that were kept."""
    return list((tmp_path / "tmp").iterdir())


def test_from_a_file(one: Runner, cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("A=2\n")
    assert one("vm", "update", "7", str(tmp_path / "t")).code == 0
    assert one("vm", "update", "7", str(tmp_path / "t"), "--append", "-v").out == "VM 7: updated\n"
    assert cloud.made("one.vm.update") == [(7, "A=2\n", 0), (7, "A=2\n", 1)]


def test_the_editor_gets_the_user_template(
    one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    editor(monkeypatch, tmp_path, f'cp -p "$2" {tmp_path}/seen; echo "C=3" >> "$2"')
    assert one("vm", "update", "7").code == 0
    assert cloud.made("one.vm.update") == [(7, 'A="1"\nB="x"\nC=3\n', 0)]
    assert stat.S_IMODE((tmp_path / "seen").stat().st_mode) == 0o600
    assert drafts(tmp_path) == []


def test_append_begins_empty(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'echo "C=3" >> "$2"')
    assert one("vm", "update", "7", "-a").code == 0
    assert cloud.made("one.vm.update") == [(7, "C=3\n", 1)]
    assert cloud.made("one.vm.info") == []


def test_unchanged_is_no_call(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'touch "$2"')
    assert one("vm", "update", "7", "-v").out == "VM 7: not changed\n"
    assert cloud.made("one.vm.update") == []
    assert drafts(tmp_path) == []


def test_a_mistake_keeps_the_text(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'echo "C=[" > "$2"')
    outcome = one("vm", "update", "7")
    (kept,) = drafts(tmp_path)
    assert outcome.code == 255
    assert "Parse error" in outcome.err
    assert outcome.err.endswith(f"your text is in {kept}\n")
    assert kept.read_text() == "C=[\n"
    assert cloud.made("one.vm.update") == []


def test_a_refusal_keeps_the_text(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'echo "C=1" > "$2"')
    cloud.answers["one.vm.update"] = ClientError("[one.vm.update] Not authorized", 0x200)
    outcome = one("vm", "update", "7")
    assert outcome.code == 255
    assert outcome.err == f"[one.vm.update] Not authorized; your text is in {drafts(tmp_path)[0]}\n"


def test_an_editor_that_fails(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, "exit 3")
    assert "ended with 3" in one("vm", "update", "7").err
    monkeypatch.setenv("EDITOR", "/nowhere/ed")
    assert "cannot start the editor /nowhere/ed" in one("vm", "update", "7").err
    assert cloud.made("one.vm.update") == []


def test_other_kinds_edit_their_template(
    one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    editor(monkeypatch, tmp_path, 'sed -i s/old/new/ "$2"')
    cloud.answers["one.image.info"] = "<IMAGE><ID>3</ID><TEMPLATE><DESCRIPTION>old</DESCRIPTION></TEMPLATE></IMAGE>"
    cloud.answers["one.image.update"] = 3
    assert one("image", "update", "3").code == 0
    assert cloud.made("one.image.update") == [(3, 'DESCRIPTION="new"\n', 0)]


def test_an_address_range_is_edited(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'sed -i s/10/20/ "$2"')
    part = "<AR><AR_ID>1</AR_ID><TYPE>IP4</TYPE><SIZE>10</SIZE><USED_LEASES>0</USED_LEASES><LEASES/></AR>"
    cloud.answers["one.vn.info"] = f"<VNET><ID>3</ID><AR_POOL>{part}</AR_POOL></VNET>"
    cloud.answers["one.vn.update_ar"] = 3
    assert one("vnet", "updatear", "3", "1").code == 0
    assert cloud.made("one.vn.update_ar") == [(3, 'AR=[\n  AR_ID="1",\n  SIZE="20",\n  TYPE="IP4" ]\n')]
    assert "no address range 2" in one("vnet", "updatear", "3", "2").err
