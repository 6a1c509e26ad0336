"""The commands that change what is scheduled: sched-delete, sched-update, create-chart, and their older names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import sections, source
from cli.cells import number, value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

CONFIGURED = ("~/.one/cli/onevm.yaml", "/etc/one/cli/onevm.yaml")
"""Where `charters` may be written down, as OpenNebula has them."""
_KEPT = ("ID", "PARENT_ID", "TYPE", "DONE", "MESSAGE")
"""What the core writes into a SCHED_ACTION."""


def delete(name: str, kind: Kind) -> click.Command:
    """The command `sched-delete`, under NAME."""

    def run(session: Session, kind: Kind, oid: str, sched_id: int) -> None:
        """Take a scheduled action away."""
        found = id_of(session, kind, oid)
        session.call("one.vm.scheddelete", found, sched_id)
        session.told(f"{kind.tag} {found}: scheduled action {sched_id} deleted")

    return command(kind, name, run, object_argument(kind, "oid"), _sched_id(), examples=[f"{name} web 0"])


def update(name: str, kind: Kind) -> click.Command:
    """The command `sched-update`, under NAME."""

    def run(session: Session, kind: Kind, oid: str, sched_id: int, file: str | None) -> None:
        """Change a scheduled action from a template FILE, standard input or in $EDITOR."""
        found = id_of(session, kind, oid)

        def send(text: str) -> None:
            session.call("one.vm.schedupdate", found, sched_id, source.vector(text, "SCHED_ACTION"))

        def before() -> str:
            return _text(read_info(session, kind, found), sched_id)

        changed = source.submit(file, before, f"{kind.program}-{found}-{sched_id}", send)
        session.told(f"{kind.tag} {found}: scheduled action {sched_id} " + ("updated" if changed else "not changed"))

    return command(
        kind,
        name,
        run,
        object_argument(kind, "oid"),
        _sched_id(),
        click.Argument(["file"], required=False),
        examples=[f"{name} web 0", f"{name} web 0 weekly.txt"],
    )


def create_chart(kind: Kind) -> click.Command:
    """The command `create-chart`."""

    def run(session: Session, kind: Kind, oid: str) -> None:
        """Schedule the actions that `charters` in ~/.one/cli/onevm.yaml lists, one after the other."""
        found = id_of(session, kind, oid)
        age = _age(read_info(session, kind, found))
        for text in charter(_configured(), age):
            session.told(f"{kind.tag} {found}: scheduled action {session.number('one.vm.schedadd', found, text)}")

    return command(kind, "create-chart", run, object_argument(kind, "oid"), examples=["create-chart web"])


def _sched_id() -> click.Argument:
    return click.Argument(["sched_id"], metavar="SCHED_ID", type=int)


def _text(body: Body, sched_id: int) -> str:
    for found in body.findall("TEMPLATE/SCHED_ACTION"):
        if value(found, "ID") == str(sched_id):
            return sections.template_text(found, ".", _KEPT)
    raise CliError(f"VM {value(body, 'ID')} has no scheduled action {sched_id}")


def _age(body: Body) -> int:
    import time

    return max(0, int(time.time() - number(body, "STIME")))


def _configured() -> dict[str, Any]:
    import yaml

    for path in (Path(name).expanduser() for name in CONFIGURED):
        if path.is_file():
            try:
                read = yaml.safe_load(source.read(str(path))) or {}
            except yaml.YAMLError as error:
                raise CliError(f"{path}: {error}") from None
            charters = plain(read).get("charters") if isinstance(read, dict) else None
            if isinstance(charters, dict) and charters:
                return charters
    raise CliError("no charters in " + " or ".join(CONFIGURED))


def plain(read: dict[Any, Any]) -> dict[str, Any]:
    """READ with the colons of Ruby's symbols taken from its keys."""
    return {str(key).lstrip(":"): plain(v) if isinstance(v, dict) else v for key, v in read.items()}


def charter(charters: dict[str, Any], age: int) -> list[str]:
    """The SCHED_ACTIONs of CHARTERS ({action: {time: +SECONDS, warning: {time: +SECONDS}}}), each after the one before.

    AGE: seconds since the VM's start, which the times are relative to.  Raises CliError.
    """
    from onecore.wire.template import Tree, to_text

    out, passed = [], age
    for action, when in charters.items():
        try:
            warning = int(when["warning"]["time"]) if "warning" in when else None
            vector = {"ACTION": action, "TIME": f"+{passed + int(when['time'])}"}
        except (KeyError, TypeError, ValueError):
            raise CliError(f"charters: {action} needs time, and warning with a time, in seconds") from None
        if warning is not None:
            vector["WARNING"] = f"+{passed + warning}"
        out.append(to_text(Tree([("SCHED_ACTION", vector)])))
        passed += int(when["time"])
    return out
