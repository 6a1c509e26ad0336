"""The commands that change what a VM is given, and how it is configured: resize and updateconf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from cli import source
from cli.command import command, file_option, object_argument
from cli.errors import CliError
from cli.flags import cores, megabytes
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

CONFIGURATION = (
    "OS",
    "FEATURES",
    "INPUT",
    "GRAPHICS",
    "VIDEO",
    "RAW",
    "CPU_MODEL",
    "TPM",
    "TOPOLOGY",
    "SERIAL",
    "CONTEXT",
)
"""What updateconf may change; some of it stands in USER_TEMPLATE."""


def resize(kind: Kind) -> click.Command:
    """The command `resize`."""

    def run(
        session: Session,
        kind: Kind,
        oid: str,
        cpu: str | None,
        vcpu: int | None,
        memory: str | None,
        enforce: bool,
        file: str | None,
    ) -> None:
        """Change CPU, VCPU and MEMORY of a VM, of a running one too.

        A template with them may come from FILE or standard input instead.
        """
        asked = {
            "CPU": None if cpu is None else cores(cpu),
            "VCPU": vcpu,
            "MEMORY": None if memory is None else megabytes(memory, "--memory"),
        }
        found = id_of(session, kind, oid)
        session.call("one.vm.resize", found, _capacity(asked, file), enforce)
        session.told(f"{kind.tag} {found}: resizing")

    return command(
        kind,
        "resize",
        run,
        object_argument(kind, "oid"),
        click.Option(["--cpu"], metavar="N", help="Share of CPU, 1 is a whole core."),
        click.Option(["--vcpu"], type=click.IntRange(min=1), metavar="N", help="Virtual CPUs."),
        click.Option(["--memory"], metavar="SIZE", help="Memory in MB, or 8g."),
        click.Option(["-e", "--enforce"], is_flag=True, help="Only if the host has room."),
        file_option(),
        examples=["resize web --cpu 2 --vcpu 2", "resize web --memory 8g --enforce"],
    )


def _capacity(asked: Mapping[str, object], file: str | None) -> str:
    from onecore.wire.template import Tree, to_text

    flags = [(name, str(value)) for name, value in asked.items() if value is not None]
    if flags and file is not None:
        raise CliError("give --cpu, --vcpu and --memory, or --file, not both")
    if flags:
        return to_text(Tree(flags))
    text = source.given(file)
    if text is None:
        raise CliError("give --cpu, --vcpu or --memory, or a template by --file or standard input")
    return source.checked(text)


def updateconf(kind: Kind) -> click.Command:
    """The command `updateconf`."""

    def run(session: Session, kind: Kind, oid: str, path: str | None, file: str | None, append: bool) -> None:
        """Change the configuration of a VM from a template FILE, standard input or in $EDITOR.

        That is OS, FEATURES, INPUT, GRAPHICS, VIDEO, RAW, CPU_MODEL, TPM, TOPOLOGY, SERIAL and CONTEXT.  A running
        guest sees its CONTEXT change at once, the rest when it starts anew.
        """
        template = source.either(path, file)
        found = id_of(session, kind, oid)

        def before() -> str:
            return "" if append else configuration(read_info(session, kind, found))

        def send(text: str) -> None:
            session.call("one.vm.updateconf", found, text, int(append))

        changed = source.submit(template, before, f"{kind.program}-{found}-conf", send)
        session.told(f"{kind.tag} {found}: configuration " + ("updated" if changed else "not changed"))

    return command(
        kind,
        "updateconf",
        run,
        object_argument(kind, "oid"),
        click.Argument(["path"], metavar="[FILE]", required=False),
        file_option(),
        click.Option(["-a", "--append"], is_flag=True, help="Keep the attributes that are not given."),
        examples=["updateconf web", "updateconf web conf.txt --append"],
    )


def configuration(body: Body) -> str:
    """What of BODY's templates updateconf may change, as template text."""
    from onecore.wire.template import Tree, to_text, tree_of

    parts = [tree_of(element) for element in (body.find("TEMPLATE"), body.find("USER_TEMPLATE")) if element is not None]
    found = [(name, vector) for part in parts for name, vector in part.only(CONFIGURATION) if isinstance(vector, dict)]
    return to_text(Tree(sorted(found, key=lambda pair: CONFIGURATION.index(pair[0]))))
