"""Hooks: columns and commands of `onehook`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import formats, sections, source, spans
from cli.cells import clock, leaf, number, value
from cli.command import command, object_argument, object_option
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Column, Kind, View, shared
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_RUN = "HOOK_EXECUTION_RECORD"
FAILED, ALL, SUCCEEDED = -1, 0, 1
"""Arguments of one.hooklog.info."""


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None) -> None:
        """Create a hook from a template FILE (- or nothing: standard input) with its NAME, TYPE, COMMAND and when."""
        session.made(session.number("one.hook.allocate", source.checked(source.required(file))))

    return command(kind, "create", run, click.Argument(["file"], required=False), examples=["create state.txt"])


def _retry(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, execution: int) -> None:
        """Run once more what an execution of a hook ran, with the same arguments."""
        found = id_of(session, kind, oid)
        session.call("one.hook.retry", found, execution)
        session.told(f"{kind.tag} {found}: execution {execution} runs again")

    return command(
        kind,
        "retry",
        run,
        object_argument(kind, "oid"),
        click.Argument(["execution"], type=click.IntRange(min=0)),
        examples=["retry 3 17"],
    )


def _log(kind: Kind) -> click.Command:
    return command(
        kind,
        "log",
        _run_log,
        click.Option(["--since"], metavar="TIME", help=f"Only from then on: {spans.MOMENTS}."),
        click.Option(["--until"], metavar="TIME", help="Only up to then."),
        object_option(kind, "--hook-id", help="Only of this hook, by id or name."),
        click.Option(["-s", "--success"], is_flag=True, help="Only those that ended with 0."),
        click.Option(["-e", "--error"], is_flag=True, help="Only those that did not."),
        *formats.options(),
        examples=["log --error", "log --hook-id 3 --since 2h"],
    )


def _run_log(
    session: Session,
    kind: Kind,
    since: str | None,
    until: str | None,
    hook_id: str | None,
    success: bool,
    error: bool,
    output: str | None,
    **forms: bool,
) -> None:
    """Tell what hooks ran, the latest 1,000."""
    from onecore.wire import xmlbody

    if success and error:
        raise CliError("give --success or --error, not both")
    first, last = (
        -1 if text is None else spans.moment(text, name) for name, text in (("--since", since), ("--until", until))
    )
    oid = -1 if hook_id is None else id_of(session, kind, hook_id)
    how = SUCCEEDED if success else FAILED if error else ALL
    body = xmlbody.read(session.text("one.hooklog.info", first, last, oid, how))
    form = formats.chosen(output, **forms)
    if form in ("xml", "json", "yaml"):
        session.say(formats.document(body, form))
        return
    rows = _rows(body.findall(_RUN))
    lines = formats.separated([[h for h, _, _ in _HEADS], *rows], ",") if form == "csv" else sections.grid(_HEADS, rows)
    for line in lines:
        session.say(line)


_HEADS = [("HOOK", 5, False), ("ID", 5, False), ("TIMESTAMP", 14, True), ("RC", 4, False), ("EXECUTION", 10, True)]


def _rows(runs: list[Body]) -> list[list[str]]:
    return [
        [value(r, "HOOK_ID"), value(r, "EXECUTION_ID"), clock(number(r, "TIMESTAMP")), _code(r), _how(r)] for r in runs
    ]


def _code(run: Body) -> str:
    return value(run, "EXECUTION_RESULT/CODE", "-")


def _how(run: Body) -> str:
    return "SUCCESS" if _code(run) == "0" else "ERROR"


def _show_command(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, execution: int | None, **given: Any) -> None:
        """Show a hook with its latest executions, or one of them with all that it printed."""
        from cli.shared import shown

        found = id_of(session, kind, oid)
        form = formats.chosen(**given)
        body = read_info(session, kind, found)
        if execution is None:
            lines = shown(session, kind, body, form)
        else:
            one = _execution(session, found, execution)
            lines = [formats.document(one, form)] if form in ("xml", "json", "yaml") else _whole(one)
        for line in lines:
            session.say(line)

    return command(
        kind,
        "show",
        run,
        object_argument(kind, "oid"),
        click.Option(["-e", "--execution"], type=int, metavar="ID", help="One of its executions."),
        *formats.options(),
        examples=["show 3", "show 3 -e 17"],
    )


def _execution(session: Session, oid: int, execution: int) -> Body:
    from onecore.wire import xmlbody

    runs = xmlbody.read(session.text("one.hooklog.info", -1, -1, oid, ALL)).findall(_RUN)
    found = next((r for r in runs if value(r, "EXECUTION_ID") == str(execution)), None)
    if found is None:
        raise CliError(f"hook {oid} has no execution {execution} in its log")
    return found


def _whole(run: Body) -> list[str]:
    result = "EXECUTION_RESULT/"
    return [
        sections.title("HOOK EXECUTION RECORD"),
        *sections.fields(
            [
                ("HOOK", value(run, "HOOK_ID")),
                ("EXECUTION ID", value(run, "EXECUTION_ID")),
                ("TIMESTAMP", clock(number(run, "TIMESTAMP"))),
                ("COMMAND", f"{value(run, f'{result}COMMAND')} {value(run, 'ARGUMENTS')}"),
                ("HOST", value(run, "REMOTE_HOST", "-")),
                ("RC", _code(run)),
            ]
        ),
        *sections.section("STANDARD OUTPUT", value(run, f"{result}STDOUT").splitlines()),
        *sections.section("STANDARD ERROR", value(run, f"{result}STDERR").splitlines()),
    ]


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    named = [("ID", value(body, "ID")), ("NAME", value(body, "NAME")), ("TYPE", value(body, "TYPE"))]
    return [
        sections.title(f"HOOK {value(body, 'ID')} INFORMATION"),
        *sections.fields([*named, ("LOCK", sections.lock(body))]),
        *sections.template("HOOK TEMPLATE", body),
        *sections.section("EXECUTION LOG", sections.grid(_HEADS[1:], [r[1:] for r in _rows(_runs(body))])),
    ]


def _runs(body: Body) -> list[Body]:
    return body.findall(f"HOOKLOG/{_RUN}")


def _locked(body: Body, view: View) -> str:
    return sections.lock(body)


KIND = Kind(
    program="onehook",
    title="hooks",
    tag="HOOK",
    method="hook",
    pool="hookpool",
    show=_show,
    columns=(
        Column("ID", "Id of the hook", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("TYPE", "api or state", 6, leaf("TYPE"), left=True),
        Column("COMMAND", "What it runs", 20, leaf("TEMPLATE/COMMAND"), left=True),
        Column("LOCK", "Its lock", 6, _locked, left=True),
    ),
    default=("ID", "NAME", "TYPE"),
    commands={
        **shared("list", "top", "delete", "update", "rename", "lock", "unlock"),
        "show": _show_command,
        "create": _create,
        "retry": _retry,
        "log": _log,
    },
)
