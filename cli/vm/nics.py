"""The commands about NICs: attach, detach, update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections, source
from cli.cells import value
from cli.command import command, file_option, object_argument, object_option
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session
from cli.vm.parts import part_argument, part_id

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

GROUPS = {"attach": "Put a NIC into a security group.", "detach": "Take a NIC out of a security group."}


def attach(kind: Kind) -> click.Command:
    """The command `nic-attach`."""

    def run(session: Session, kind: Kind, oid: str, file: str | None, **given: str | None) -> None:
        """Attach a NIC, or a further address of one, to a VM that runs or is off.

        A template from FILE or standard input holds one NIC or NIC_ALIAS.
        """
        found, text = id_of(session, kind, oid), nic_template(session, file, given)
        session.call("one.vm.attachnic", found, text)
        session.told(f"{kind.tag} {found}: attaching NIC")

    return command(
        kind,
        "nic-attach",
        run,
        object_argument(kind, "oid"),
        file_option(),
        object_option(kind_of("vnet"), "-n", "--network", help="The virtual network."),
        click.Option(["-i", "--ip"], metavar="IP", help="This address of it."),
        click.Option(["-a", "--alias"], metavar="NIC", help="As a further address of the NIC of that name, as NIC0."),
        click.Option(["--nic_name", "--nic-name", "nic_name"], metavar="NAME", help="Its name, else NIC and its id."),
        examples=["nic-attach web --network private", "nic-attach web -n public --ip 192.0.2.7 --alias NIC0"],
    )


def nic_template(session: Session, file: str | None, given: dict[str, str | None]) -> str:
    """The NIC or NIC_ALIAS that the options ask for, or that FILE or standard input holds; raises CliError."""
    from onecore.wire.template import Tree, parse, to_text

    asked = {name: text for name, text in given.items() if text is not None}
    if file is not None or "network" not in asked:
        text = source.given(file)
        if asked or text is None:
            raise CliError("give --network NETWORK, or a template by --file or standard input alone")
        what = "NIC_ALIAS" if "NIC_ALIAS" in parse(source.checked(text)) else "NIC"
        return source.vector(text, what)
    nic = {"NETWORK_ID": str(id_of(session, kind_of("vnet"), asked["network"]))}
    names = {"alias": "PARENT", "ip": "IP", "nic_name": "NAME"}
    nic |= {attribute: asked[name] for name, attribute in names.items() if name in asked}
    return to_text(Tree([("NIC_ALIAS" if "alias" in asked else "NIC", nic)]))


def update(kind: Kind) -> click.Command:
    """The command `nic-update`."""

    def run(session: Session, kind: Kind, oid: str, nic: str, path: str | None, file: str | None, append: bool) -> None:
        """Change what may change of a NIC, as its bandwidth, from a template FILE, standard input or in $EDITOR."""
        template = source.either(path, file)
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "NIC", nic)

        def before() -> str:
            return "" if append else _text(read_info(session, kind, found), number)

        def send(text: str) -> None:
            session.call("one.vm.updatenic", found, number, source.vector(text, "NIC"), int(append))

        changed = source.submit(template, before, f"{kind.program}-{found}-nic{number}", send)
        session.told(f"{kind.tag} {found}: NIC {number} " + ("updated" if changed else "not changed"))

    return command(
        kind,
        "nic-update",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "nic", "NIC"),
        click.Argument(["path"], metavar="[FILE]", required=False),
        file_option(),
        click.Option(["-a", "--append"], is_flag=True, help="Keep the attributes that are not given."),
        examples=["nic-update web 0", "echo 'INBOUND_AVG_BW=1024' | onevm nic-update web NIC0 --append"],
    )


def group(verb: str, kind: Kind) -> click.Command:
    """The command `sg-VERB`: attach or detach."""

    def run(session: Session, kind: Kind, oid: str, nic: str, group: str) -> None:
        found, groups = id_of(session, kind, oid), kind_of("secgroup")
        number, gid = part_id(session, kind, found, "NIC", nic), id_of(session, groups, group)
        session.call(f"one.vm.{verb}sg", found, number, gid)
        session.told(f"{kind.tag} {found}: NIC {number}: security group {gid}: {verb}")

    return command(
        kind,
        f"sg-{verb}",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "nic", "NIC"),
        object_argument(kind_of("secgroup"), "group"),
        help=GROUPS[verb],
        examples=[f"sg-{verb} web NIC0 100", f"sg-{verb} web 0 web-servers"],
    )


def _text(body: Body, number: int) -> str:
    for nic in [*body.findall("TEMPLATE/NIC"), *body.findall("TEMPLATE/NIC_ALIAS")]:
        if value(nic, "NIC_ID") == str(number):
            return sections.template_text(nic, ".")
    raise CliError(f"VM {value(body, 'ID')} has no NIC {number}")
