"""`onevm console`: the serial console of a guest, by TCP where its template has SERIAL, else by virsh on its host."""

from __future__ import annotations

import os
import select
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.cells import value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.kind import Kind
from cli.session import Session
from cli.vm.access import LOOPBACK, become, bracketed, here, host_of, running, ssh_options

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

LEAVE = b"\x1d"
"""Ctrl-], as telnet and virsh have it."""
SECONDS = 10.0
"""For a connection to be made."""
_IAC, _COMMANDS = 255, range(251, 255)


def console(kind: Kind) -> click.Command:
    """The command `console`."""

    def run(session: Session, kind: Kind, oid: str, options: str, log: bool) -> None:
        """Open the serial console of a running guest; Ctrl-] leaves it.

        It is reached by TCP where the template's SERIAL says so (through SSH when its host alone may connect), else by
        virsh on the host.
        """
        body = running(session, kind, oid)
        name = value(body, "DEPLOY_ID") or f"one-{value(body, 'ID')}"
        ssh, local = ["ssh", *shlex.split(options)], here(session, host_of(body))
        if log:
            become([*(["sh", "-c"] if local else [*ssh, host_of(body)]), log_command(name)])
        elif value(body, "USER_TEMPLATE/SERIAL/PORT"):
            with link(body, [] if local else ssh) as made, terminal():
                pump(made, sys.stdin.fileno(), sys.stdout.fileno(), _telnet(body))
        else:
            virsh = ["virsh", "-c", "qemu:///system", "console", name]
            become(virsh if local else [*ssh, "-t", host_of(body), shlex.join(virsh)])

    return command(
        kind,
        "console",
        run,
        object_argument(kind, "oid"),
        ssh_options(),
        click.Option(["--log"], is_flag=True, help="Only show what the console printed since the guest started."),
        examples=["console web", "console web --log"],
    )


def log_command(name: str) -> str:
    """What a host runs to tell what the console of its domain NAME printed: libvirt keeps it in a file."""
    find = "sed -n \"s/.*<log file='\\([^']*\\)'.*/\\1/p\" | head -n 1"
    return f'cat "$(virsh -c qemu:///system dumpxml {shlex.quote(name)} | {find})"'


def _telnet(body: Body) -> bool:
    return value(body, "USER_TEMPLATE/SERIAL/PROTOCOL").lower() == "telnet"


@contextmanager
def link(body: Body, ssh: list[str]) -> Iterator[socket.socket]:
    """A connection to the console's port, by the command SSH where the host alone may connect; raises CliError.

    No SSH: the host is this machine.
    """
    host, port = host_of(body), value(body, "USER_TEMPLATE/SERIAL/PORT")
    listen = value(body, "USER_TEMPLATE/SERIAL/LISTEN", LOOPBACK[0])
    if listen not in LOOPBACK or not ssh:
        try:
            made = socket.create_connection((host, int(port)), SECONDS)
        except OSError as error:
            raise CliError(f"{bracketed(host)}:{port}: {error.strerror or error}") from None
        made.settimeout(None)
        with made:
            yield made
        return
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [*ssh, "-W", f"{bracketed(listen)}:{port}", host], stdin=theirs.fileno(), stdout=theirs.fileno()
    ) as child:
        theirs.close()
        with ours:
            yield ours
        try:
            child.wait(1.0)
        except subprocess.TimeoutExpired:
            child.terminate()
    if child.returncode > 0:
        raise CliError(f"ssh to {host} ended with {child.returncode}")


@contextmanager
def terminal() -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too, until it ends; nothing to do where there is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def pump(link: socket.socket, source: int, sink: int, telnet: bool = False) -> None:
    """Carry bytes both ways until the guest's side ends, or LEAVE comes from SOURCE."""
    sources: list[socket.socket | int] = [link, source]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if link in ready:
            told = link.recv(65536)
            if not told:
                return
            _write(sink, spoken(told) if telnet else told)
        if source in ready:
            typed = os.read(source, 4096)
            before, leave, _ = typed.partition(LEAVE)
            link.sendall(before)
            if leave:
                return
            if not typed:
                sources.remove(source)


def _write(sink: int, told: bytes) -> None:
    while told:
        told = told[os.write(sink, told) :]


def spoken(told: bytes) -> bytes:
    """TOLD without telnet's own commands."""
    out, i = bytearray(), 0
    while i < len(told):
        if told[i] == _IAC and i + 1 < len(told) and told[i + 1] != _IAC:
            i += 3 if told[i + 1] in _COMMANDS else 2
            continue
        i += told[i] == _IAC
        out += told[i : i + 1]
        i += 1
    return bytes(out)
