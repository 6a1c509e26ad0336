"""The ways into a guest: ssh, vnc, port-forward, and commands run by its agent."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from cli.errors import CliError
from cli.kinds import kind
from cli.session import Session
from cli.vm import guest

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
NICS = (
    "<NIC><NIC_ID>1</NIC_ID><NAME>NIC1</NAME><IP6>2001:db8::7</IP6></NIC>"
    "<NIC><NIC_ID>2</NIC_ID><IP>10.0.2.7</IP>{}</NIC>"
)
RANGES = "<EXTERNAL_PORT_RANGE>9001:9100</EXTERNAL_PORT_RANGE><INTERNAL_PORT_RANGE>1-100/9001</INTERNAL_PORT_RANGE>"
VNC = "<GRAPHICS><TYPE>vnc</TYPE><LISTEN>{}</LISTEN><PORT>5907</PORT></GRAPHICS>"


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that took the command's place, which then ends."""
    seen: list[list[str]] = []

    def execvp(file: str, arguments: list[str]) -> None:
        assert file == arguments[0]
        if file == "nowhere":
            raise FileNotFoundError(2, "No such file or directory", file)
        seen.append(arguments)

    monkeypatch.setattr(os, "execvp", execvp)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return seen


@pytest.mark.parametrize(
    ("arguments", "extra", "command"),
    [
        ((), "", ["ssh", "-p", "22", "--", "root@10.0.0.7"]),
        (("admin",), "", ["ssh", "-p", "22", "--", "admin@10.0.0.7"]),
        ((), "<CONTEXT><USERNAME>ann</USERNAME></CONTEXT>", ["ssh", "-p", "22", "--", "ann@10.0.0.7"]),
        (("--nic-id", "1"), NICS.format(""), ["ssh", "-p", "22", "--", "root@2001:db8::7"]),
        ((), NICS.format("<SSH>YES</SSH>"), ["ssh", "-p", "22", "--", "root@10.0.2.7"]),
        ((), NICS.format(f"<SSH>YES</SSH>{RANGES}"), ["ssh", "-p", "9022", "--", "root@node7"]),
        (
            ("--cmd", "uptime -p", "--ssh-options", "-o 'A=b c' -v"),
            "",
            ["ssh", "-o", "A=b c", "-v", "-p", "22", "--", "root@10.0.0.7", "uptime -p"],
        ),
        (  # what a VM's owner writes is a name, never an option
            ("--cmd", "uptime"),
            "<CONTEXT><USERNAME>-oProxyCommand=x</USERNAME></CONTEXT>",
            ["ssh", "-p", "22", "--", "-oProxyCommand=x@10.0.0.7", "uptime"],
        ),
    ],
)
def test_ssh(
    one: Runner, cloud: Cloud, became: list[list[str]], arguments: tuple[str, ...], extra: str, command: list[str]
) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=extra)
    assert one("vm", "ssh", "7", *arguments).code == 0
    assert became == [command]


@pytest.mark.parametrize(
    ("arguments", "pair", "told"),
    [
        (("ssh", "7"), (8, 0), "VM 7 does not run, it is POWEROFF"),
        (("ssh", "7"), (1, 0), "VM 7 does not run, it is PENDING"),
        (("vnc", "7"), (3, 3), "VM 7 has no VNC screen"),
        (("ssh", "7", "--nic-id", "9"), (3, 3), "VM 7 has no NIC 9"),
        (("port-forward", "7"), (3, 3), "has no EXTERNAL_PORT_RANGE"),
    ],
)
def test_what_leads_nowhere(
    one: Runner, cloud: Cloud, became: list[list[str]], arguments: tuple[str, ...], pair: tuple[int, int], told: str
) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", *pair)
    outcome = one("vm", *arguments)
    assert (outcome.code, outcome.out, became) == (255, "", [])
    assert told in outcome.err


def test_vnc(one: Runner, cloud: Cloud, became: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=VNC.format("0.0.0.0"))
    assert one("vm", "vnc", "7").out == "node7:5907\n"
    there = cloud.answers["one.vm.info"]
    cloud.answers["one.vm.info"] = there.replace("node7", "fd00::7")
    assert one("vm", "vnc", "7").out == "[fd00::7]:5907\n"
    cloud.answers["one.vm.info"] = there
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("shutil.which", lambda name: name if name == "vncviewer" else None)
    assert one("vm", "vnc", "7").out == ""
    one("vm", "vnc", "7", "--vnc", "remote-viewer -f")
    assert became == [["vncviewer", "node7::5907"], ["remote-viewer", "-f", "vnc://node7:5907"]]
    assert one("vm", "vnc", "7", "--vnc", "nowhere").err == "nowhere: No such file or directory\n"


def test_a_screen_that_only_its_host_sees(one: Runner, cloud: Cloud, became: list[list[str]]) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=VNC.format("127.0.0.1"))
    outcome = one("vm", "vnc", "7")
    assert (outcome.code, outcome.out) == (0, "127.0.0.1:5907\n")
    assert outcome.err == "it listens on node7 alone; first: ssh -N -L 5907:127.0.0.1:5907 node7\n"


def test_the_screen_of_a_guest_on_this_machine(one: Runner, cloud: Cloud, became: list[list[str]]) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=VNC.format("127.0.0.1")).replace("node7", "localhost")
    outcome = one("vm", "vnc", "7", "--endpoint", "http://localhost:2633/RPC2")
    assert (outcome.code, outcome.out, outcome.err) == (0, "127.0.0.1:5907\n", "")
    assert "ssh -N" in one("vm", "vnc", "7", "--endpoint", "http://front:2633/RPC2").err


def test_port_forward(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=NICS.format(RANGES))
    lines = one("vm", "port-forward", "7", "--nic-id", "2").out.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("node7@9001 -> 1", "node7@9100 -> 100", 100)
    assert one("vm", "port-forward", "7", "80", "--nic-id", "2").out == "node7@9080 -> 80\n"
    for wrong in ("all", "1:99999999999", "0:5", "9:8"):
        cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=NICS.format(RANGES.replace("9001:9100", wrong)))
        assert "are no ranges" in one("vm", "port-forward", "7", "--nic-id", "2").err


def result(status: str, code: int = 0, out: str = "", err: str = "", encoded: bool = True) -> str:
    """QEMU_GA_EXEC with a result."""
    texts = [b64encode(text.encode()).decode() if encoded else text for text in (out, err)]
    return (
        f"<QEMU_GA_EXEC><COMMAND>x</COMMAND><STATUS>{status}</STATUS><RETURN_CODE>{code}</RETURN_CODE>"
        f"<STDOUT>{texts[0]}</STDOUT><STDERR>{texts[1]}</STDERR></QEMU_GA_EXEC>"
    )


@pytest.fixture(autouse=True)
def agent(cloud: Cloud) -> None:
    """Commands are taken."""
    for name in ("exec", "retryexec", "cancelexec"):
        cloud.answers[f"one.vm.{name}"] = 7


def test_exec(one: Runner, cloud: Cloud) -> None:
    outcome = one("vm", "exec", "7,8", "cat -n", "--stdin", "ä\n")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert cloud.made("one.vm.exec") == [(7, "cat -n", "w6QK"), (8, "cat -n", "w6QK")]
    assert one("vm", "exec-retry", "7").code == one("vm", "exec-cancel", "7..8").code == 0
    assert (cloud.made("one.vm.retryexec"), cloud.made("one.vm.cancelexec")) == ([(7,)], [(7,), (8,)])


@pytest.mark.parametrize(
    ("answer", "code", "out", "err"),
    [
        (result("DONE", 0, "a\nb\n"), 0, "a\nb\n", ""),
        (result("DONE", 3, "a", "wrong\n"), 255, "a\n", "wrong\nthe command ended with 3\n"),
        (result("CANCELLED"), 255, "", "the command: cancelled\n"),
        (result("DONE", 0, "plain text", encoded=False), 0, "plain text\n", ""),
    ],
)
def test_exec_tells_what_was_printed(one: Runner, cloud: Cloud, answer: str, code: int, out: str, err: str) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=answer)
    outcome = one("vm", "exec", "7", "x", "--wait")
    assert (outcome.code, outcome.out, outcome.err) == (code, out, err)


def test_a_guest_does_not_command_the_terminal(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=result("DONE", 0, "\x1b]0;title\x07\ttext"))
    assert one("vm", "exec", "7", "x", "--wait").out == "\x1b]0;title\x07\ttext\n"
    monkeypatch.setattr("cli.vm.guest.on_terminal", lambda: True)
    assert one("vm", "exec", "7", "x", "--wait").out == "?]0;title?\ttext\n"


def test_exec_waits(cloud: Cloud) -> None:
    answers = iter(["", result("EXECUTING"), result("DONE")])
    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, "web", extra=next(answers))
    slept: list[float] = []
    found = guest.outcome(Session(), kind("vm"), 7, 60, lambda: sum(slept), slept.append)
    assert (found.findtext("STATUS"), len(slept)) == ("DONE", 2)


def test_exec_does_not_wait_for_ever(cloud: Cloud) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=result("EXECUTING"))
    slept: list[Any] = []
    with pytest.raises(CliError, match="has not ended within 5 s"):
        guest.outcome(Session(), kind("vm"), 7, 5, lambda: sum(slept), slept.append)
    assert sum(slept) == 5
