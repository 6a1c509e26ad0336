"""The commands that lead into a guest by its network or screen: ssh, vnc, port-forward."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

import click

from cli.cells import value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.session import Session
from cli.vm.body import addresses, state_pair
from onecore.wire import states

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

VIEWERS = ("remote-viewer", "vncviewer", "xtigervncviewer", "gvncviewer", "vinagre")
"""Programs that show a VNC screen, the first that is there is taken."""
SSH_PORT, LAST_PORT = 22, 65535
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses of a host that only it reaches."""


def ssh(kind: Kind) -> click.Command:
    """The command `ssh`."""

    def run(
        session: Session, kind: Kind, oid: str, login: str | None, nic_id: str | None, cmd: str | None, options: str
    ) -> None:
        """Log in to a running guest, as LOGIN, its CONTEXT's USERNAME, or root."""
        body = running(session, kind, oid)
        user = login or value(body, "TEMPLATE/CONTEXT/USERNAME", "root")
        host, port = _ssh_address(body, _nic(body, nic_id))
        become(["ssh", *shlex.split(options), "-p", str(port), "--", f"{user}@{host}", *([cmd] if cmd else [])])

    return command(
        kind,
        "ssh",
        run,
        object_argument(kind, "oid"),
        click.Argument(["login"], required=False),
        click.Option(["--nic-id"], metavar="ID", help="The NIC whose address to use, else the one with SSH=YES."),
        click.Option(["--cmd"], metavar="COMMAND", help="Run this instead of a shell."),
        ssh_options(),
        examples=["ssh web", "ssh web admin --cmd uptime", "ssh web --ssh-options '-o StrictHostKeyChecking=no'"],
    )


def vnc(kind: Kind) -> click.Command:
    """The command `vnc`."""

    def run(session: Session, kind: Kind, oid: str, viewer: str | None) -> None:
        """Open the VNC screen of a running guest, or tell its address when there is no viewer or display."""
        body = running(session, kind, oid)
        host, port = host_of(body), value(body, "TEMPLATE/GRAPHICS/PORT")
        if value(body, "TEMPLATE/GRAPHICS/TYPE").upper() != "VNC" or not port:
            raise CliError(f"VM {value(body, 'ID')} has no VNC screen: its template has no GRAPHICS of TYPE VNC")
        local = value(body, "TEMPLATE/GRAPHICS/LISTEN", "127.0.0.1") in LOOPBACK
        found = viewer or (_viewer() if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else None)
        if local and not here(session, host):
            session.fail(f"it listens on {host} alone; first: ssh -N -L {port}:127.0.0.1:{port} {host}")
        host = "127.0.0.1" if local else host
        if found is None:
            session.say(f"{bracketed(host)}:{port}")
            return
        screen = f"vnc://{bracketed(host)}:{port}" if "remote-viewer" in found else f"{bracketed(host)}::{port}"
        become([*shlex.split(found), screen])

    return command(
        kind,
        "vnc",
        run,
        object_argument(kind, "oid"),
        click.Option(
            ["--vnc", "viewer"], metavar="PROGRAM", help="The viewer, else the first of " + ", ".join(VIEWERS)
        ),
        examples=["vnc web", "vnc web --vnc 'vncviewer -FullScreen'"],
    )


def port_forward(kind: Kind) -> click.Command:
    """The command `port-forward`."""

    def run(session: Session, kind: Kind, oid: str, port: int | None, nic_id: str | None) -> None:
        """Tell which ports of its host lead to ports of a guest (of PORT alone), as HOST@PORT -> PORT."""
        body = read_info(session, kind, id_of(session, kind, oid))
        nic = _nic(body, nic_id)
        for outer, inner in forwarded(nic):
            if port in (None, inner):
                session.say(f"{host_of(body)}@{outer} -> {inner}")

    return command(
        kind,
        "port-forward",
        run,
        object_argument(kind, "oid"),
        click.Argument(["port"], type=int, required=False),
        click.Option(["--nic-id"], metavar="ID", help="The NIC, else the one with SSH=YES."),
        examples=["port-forward web", "port-forward web 80"],
    )


def forwarded(nic: Body) -> list[tuple[int, int]]:
    """(port of the host, port of the guest) of a NIC's ranges, as `9001:9100` and `1-100/9001`; raises CliError."""
    outer, inner = value(nic, "EXTERNAL_PORT_RANGE"), value(nic, "INTERNAL_PORT_RANGE")
    if not outer:
        raise CliError(f"NIC {value(nic, 'NIC_ID')} has no EXTERNAL_PORT_RANGE: no ports of the host lead to it")
    try:
        first, last = (int(part) for part in outer.split(":"))
        begin = int(inner.partition("/")[0].partition("-")[0] or 1)
        if not 0 < first <= last <= LAST_PORT:
            raise ValueError(outer)
    except ValueError:
        raise CliError(f"EXTERNAL_PORT_RANGE {outer!r}, INTERNAL_PORT_RANGE {inner!r} are no ranges") from None
    return [(port, begin + port - first) for port in range(first, last + 1)]


def ssh_options() -> click.Option:
    """--ssh-options: as a shell would split them."""
    return click.Option(["--ssh-options", "options"], metavar="TEXT", default="", help="More options for ssh.")


def running(session: Session, kind: Kind, oid: str) -> Body:
    """The body of a VM that is on a host now; raises CliError."""
    body = read_info(session, kind, id_of(session, kind, oid))
    state, lcm = state_pair(body)
    if state != states.VmState.ACTIVE or not value(body, "HISTORY_RECORDS/HISTORY[last()]/HOSTNAME"):
        raise CliError(f"VM {value(body, 'ID')} does not run, it is {states.vm_name(state, lcm)}")
    return body


def host_of(body: Body) -> str:
    """The name of the host that the VM is on."""
    return value(body, "HISTORY_RECORDS/HISTORY[last()]/HOSTNAME", "-")


def bracketed(host: str) -> str:
    """HOST as it stands before `:port`: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def here(session: Session, host: str) -> bool:
    """Whether HOST is this machine: the front-end, which is the host `localhost` without SSH, seen from itself."""
    from urllib.parse import urlsplit

    from onecore.wire.client import endpoint

    return host == "localhost" and urlsplit(endpoint(session.account.endpoint)).hostname in LOOPBACK


def _nic(body: Body, nic_id: str | None) -> Body:
    nics = body.findall("TEMPLATE/NIC")
    if nic_id is not None:
        nics = [nic for nic in nics if nic_id in (value(nic, "NIC_ID"), value(nic, "NAME"))]
    chosen = [nic for nic in nics if value(nic, "SSH").upper() == "YES"] or nics
    if not chosen:
        raise CliError(f"VM {value(body, 'ID')} has no NIC" + (f" {nic_id}" if nic_id is not None else ""))
    return chosen[0]


def _ssh_address(body: Body, nic: Body) -> tuple[str, int]:
    if value(nic, "EXTERNAL_PORT_RANGE"):
        outer = {inner: outer for outer, inner in forwarded(nic)}
        if SSH_PORT in outer:
            return host_of(body), outer[SSH_PORT]
    found = addresses(nic)
    if not found:
        raise CliError(f"NIC {value(nic, 'NIC_ID')} of VM {value(body, 'ID')} has no address")
    return found[0], SSH_PORT


def _viewer() -> str | None:
    return next((name for name in VIEWERS if shutil.which(name)), None)


def become(command: list[str]) -> None:
    """Go on as another program; raises CliError when it is not there."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise CliError(f"{command[0]}: {error.strerror}") from None
