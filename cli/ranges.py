"""Address ranges and leases of virtual networks: the commands about them, and how `onevnet show` tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import sections, source
from cli.cells import value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_RANGE = ("IP", "IP6", "IP6_GLOBAL", "IP6_ULA", "MAC")
_AR_FLAGS = ("size", "ip", "mac", "ip6", "ip6_global", "ip6_ula", "prefix_length")
_LEASES = {
    "hold": "Take an address (IP or MAC) out of use.",
    "release": "Put a held address back into use.",
}


def _range_options() -> list[click.Parameter]:
    helps = {
        "size": "Number of addresses.",
        "ip": "First IPv4 address.",
        "mac": "First MAC address.",
        "ip6": "First IPv6 address.",
        "ip6_global": "Global prefix.",
        "ip6_ula": "Unique local prefix.",
        "prefix_length": "Length of the prefix of --ip6.",
    }
    return [click.Option([f"--{name}"], metavar="TEXT", help=helps[name]) for name in _AR_FLAGS]


def range_template(file: str | None, given: dict[str, Any]) -> str:
    """The template of an address range, from flags or else FILE or standard input."""
    flags = {name: text for name, text in given.items() if text}
    if not flags:
        return source.checked(source.required(file))
    from onecore.wire.template import Tree, to_text

    family = "IP6_STATIC" if "ip6" in flags else "IP6" if {"ip6_global", "ip6_ula"} & set(flags) else "IP4"
    both = family != "IP4" and "ip" in flags
    kind = "ETHER" if set(flags) <= {"size", "mac"} else f"IP4_{family[2:]}" if both else family
    names = {"ip6_global": "GLOBAL_PREFIX", "ip6_ula": "ULA_PREFIX"}
    return to_text(Tree([("AR", {"TYPE": kind, **{names.get(n, n.upper()): t for n, t in flags.items()}})]))


def addar(kind: Kind) -> click.Command:
    """The command `addar`."""

    def run(session: Session, kind: Kind, oid: str, file: str | None, **given: Any) -> None:
        """Add an address range, from flags, a template FILE or standard input."""
        session.call("one.vn.add_ar", id_of(session, kind, oid), range_template(file, given))
        session.told(f"{kind.tag} {oid}: address range added")

    return command(
        kind, "addar", run, object_argument(kind, "oid"), click.Argument(["file"], required=False), *_range_options()
    )


def updatear(kind: Kind) -> click.Command:
    """The command `updatear`."""

    def run(session: Session, kind: Kind, oid: str, ar_id: int, file: str | None) -> None:
        """Change an address range from a template FILE, standard input or in $EDITOR."""
        found = id_of(session, kind, oid)

        def send(text: str) -> None:
            session.call("one.vn.update_ar", found, _one_range(text, ar_id))

        changed = source.submit(file, lambda: _range_text(session, kind, found, ar_id), f"{kind.program}-{found}", send)
        session.told(f"{kind.tag} {found}: " + ("address range updated" if changed else "not changed"))

    return command(
        kind,
        "updatear",
        run,
        object_argument(kind, "oid"),
        click.Argument(["ar_id"], type=int),
        click.Argument(["file"], required=False),
    )


def _range_text(session: Session, kind: Kind, oid: int, ar_id: int) -> str:
    body = read_info(session, kind, oid)
    for found in body.findall("AR_POOL/AR"):
        if value(found, "AR_ID") == str(ar_id):
            for extra in (
                "LEASES",
                "USED_LEASES",
                "ALLOCATED",
                "MAC_END",
                "IP_END",
                "IP6_END",
                "IP6_ULA_END",
                "IP6_GLOBAL_END",
            ):
                for gone in found.findall(extra):
                    found.remove(gone)
            return sections.template_text(found, ".")
    raise CliError(f"{kind.tag} {oid} has no address range {ar_id}")


def _one_range(text: str, ar_id: int) -> str:
    """TEXT, an AR vector or its bare attributes, as one AR with its id."""
    from onecore.wire.template import Tree, parse, to_text

    tree = parse(text)
    attributes = tree.vector("AR") or {name: v for name, v in tree if isinstance(v, str)}
    return to_text(Tree([("AR", {**attributes, "AR_ID": str(ar_id)})]))


def rmar(kind: Kind) -> click.Command:
    """The command `rmar`."""

    def run(session: Session, kind: Kind, oid: str, ar_id: int, force: bool) -> None:
        """Remove an address range."""
        session.call("one.vn.rm_ar", id_of(session, kind, oid), ar_id, force)
        session.told(f"{kind.tag} {oid}: address range removed")

    return command(
        kind,
        "rmar",
        run,
        object_argument(kind, "oid"),
        click.Argument(["ar_id"], type=int),
        click.Option(["--force"], is_flag=True, help="Even while addresses of it are in use."),
    )


def free(kind: Kind) -> click.Command:
    """The command `free`."""

    def run(session: Session, kind: Kind, oid: str, ar_id: int) -> None:
        """Give a reserved address range back to the network it came from."""
        session.call("one.vn.free_ar", id_of(session, kind, oid), ar_id)
        session.told(f"{kind.tag} {oid}: address range freed")

    return command(kind, "free", run, object_argument(kind, "oid"), click.Argument(["ar_id"], type=int))


def lease(verb: str, kind: Kind) -> click.Command:
    """The command `hold` or `release`."""

    def run(session: Session, kind: Kind, oid: str, address: str, ar_id: int | None) -> None:
        session.call(kind.call(verb), id_of(session, kind, oid), lease_template(address, ar_id))
        session.told(f"{kind.tag} {oid}: {verb} {address}")

    return command(
        kind,
        verb,
        run,
        object_argument(kind, "oid"),
        click.Argument(["address"]),
        click.Argument(["ar_id"], type=int, required=False),
        help=_LEASES[verb],
    )


def lease_template(address: str, ar_id: int | None) -> str:
    """The template that hold and release take."""
    from onecore.wire.template import Tree, to_text

    name = "MAC" if address.count(":") == 5 else "IP6" if ":" in address else "IP"
    where = {} if ar_id is None else {"AR_ID": str(ar_id)}
    return to_text(Tree([("LEASES", {name: address, **where})]))


def range_section(part: Body) -> list[str]:
    """One address range: its first and last addresses, and how many are in use."""
    heads = [
        ("TYPE", 9, True),
        *((name, 17, True) for name in _RANGE if value(part, name)),
        ("SIZE", 6, False),
        ("USED", 6, False),
    ]
    first = [value(part, name, "0" if name == "USED" else "-") for name, _, _ in heads]
    first[-1] = value(part, "USED_LEASES", "0")
    last = ["last", *(value(part, f"{name}_END", "-") for name in _RANGE if value(part, name)), "", ""]
    return sections.section(f"ADDRESS RANGE {value(part, 'AR_ID')}", sections.grid(heads, [first, last]))


def leases(body: Body) -> list[str]:
    """The addresses in use, of all ranges."""
    rows = [
        [
            value(part, "AR_ID"),
            _holder(lease),
            value(lease, "MAC", "-"),
            value(lease, "IP", "-"),
            value(lease, "IP6") or value(lease, "IP6_GLOBAL", "-"),
        ]
        for part in body.findall("AR_POOL/AR")
        for lease in part.findall("LEASES/LEASE")
    ]
    return sections.grid(
        [("AR", 4, False), ("OWNER", 12, True), ("MAC", 17, True), ("IP", 15, True), ("IP6", 25, True)], rows
    )


def _holder(lease: Body) -> str:
    for tag, name in (("VM", "V"), ("VNET", "NET"), ("VROUTER", "VR")):
        if value(lease, tag):
            return "on hold" if value(lease, tag) == "-1" else f"{name}:{value(lease, tag)}"
    return "-"
