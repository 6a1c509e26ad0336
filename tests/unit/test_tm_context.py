"""The context CD: quoting that a shell reads back unchanged, and a disc with the right label and files."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_ground import Ground

from drivers.base import Permanent
from drivers.tm.context import checked, context_script, quote, write_context

needs_iso_maker = pytest.mark.skipif(not any(map(shutil.which, ("genisoimage", "xorrisofs", "mkisofs"))),
                                     reason="no tool that makes ISO images is installed")
needs_isoinfo = pytest.mark.skipif(shutil.which("isoinfo") is None, reason="isoinfo (genisoimage) is not installed")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=20))
def test_a_shell_reads_back_what_was_quoted(values: list[str]) -> None:
    script = "printf '%s\\0' " + " ".join(map(quote, values)) if values else ":"
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert said == b"".join(value.encode() + b"\0" for value in values)


def test_the_script_is_sorted_and_holds_every_variable() -> None:
    lines = context_script({"B": "it's", "A": "$(reboot)\n`x`"}).splitlines()
    assert lines[1:] == ["A='$(reboot)", "`x`'", "B='it'\\''s'"]


@pytest.mark.parametrize("name", ["A B", "A=1;reboot", "1A", "", "Ä", "A\n"])
def test_names_that_a_shell_would_not_take_are_refused(name: str) -> None:
    with pytest.raises(Permanent, match="cannot be the name"):
        context_script({name: "x"})


@pytest.mark.parametrize("names", [["context.sh"], ["../x"], ["a/b"], [".hidden"], ["a", "a"], ["-o"], [""]])
def test_file_names_that_could_do_harm_are_refused(names: list[str]) -> None:
    with pytest.raises(Permanent, match="cannot be the name of a file"):
        checked([{"name": name, "source": "/x"} for name in names])


@needs_iso_maker
@needs_isoinfo
@pytest.mark.parametrize("host", ["localhost", "node1"])
def test_the_disc(tmp_path: Path, host: str) -> None:
    """Its files come from the front-end, wherever the host is."""
    ground = Ground(tmp_path)
    (ground.outside / "f").write_text("file content")
    vm = ground.vm(context={"SET_HOSTNAME": "web"}, context_disk={"DISK_ID": "1"},
                   context_files=[{"source": str(ground.outside / "f"), "name": "init.sh"}])
    there = Path(vm["dir"]) if host == "localhost" else ground.on(host, vm["dir"])
    there.mkdir(parents=True)
    ctx = ground.context()
    write_context(ctx, ctx.host({"name": host}), vm)
    disc = there / "disk.1"
    assert disc.read_bytes()[32808:32815] == b"CONTEXT"
    assert read(disc, "/context.sh") == "# Context variables\nSET_HOSTNAME='web'\n"
    assert read(disc, "/init.sh") == "file content"
    assert [path.name for path in there.iterdir()] == ["disk.1"]
    write_context(ctx, ctx.host({"name": host}), vm)


@needs_iso_maker
def test_a_missing_file_is_named(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    vm = ground.vm(context={}, context_disk={"DISK_ID": "1"}, context_files=[{"source": "/no/such", "name": "a"}])
    Path(vm["dir"]).mkdir(parents=True)
    with pytest.raises(Permanent, match="context file a: .*/no/such"):
        write_context(ground.context(), ground.context().host({}), vm)


def test_a_vm_without_context_gets_none(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    write_context(ground.context(), ground.context().host({}), ground.vm(context={}, context_disk=None))
    assert not Path(ground.vm()["dir"]).exists()


def read(disc: Path, name: str) -> str:
    argv = ["isoinfo", "-R", "-x", name, "-i", str(disc)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
