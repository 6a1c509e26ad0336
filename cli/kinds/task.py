"""Operations under way: columns and commands of `onetask`, which OpenNebula does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import lasted, leaf, number, size, value
from cli.kind import Column, Kind, View, later, shared

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _object(body: Body, view: View) -> str:
    return f"{value(body, 'KIND')} {value(body, 'OID')}"


def _progress(body: Body, view: View) -> str:
    done, total = number(body, "DONE"), number(body, "TOTAL")
    if total:
        return f"{100 * min(done, total) / total:.0f}%"
    return size(done / 1024, view) if done else "-"


def _age(body: Body, view: View) -> str:
    return lasted(view.now - number(body, "SINCE"), full=True).strip()


def _left(body: Body, view: View) -> str:
    return f"{number(body, 'DEADLINE'):.0f}s" if value(body, "DEADLINE") else "-"


KIND = Kind(
    program="onetask",
    title="operations under way",
    tag="OPERATION",
    absent="nothing is under way for",
    method="operation",
    pool="operationpool",
    filtered=True,
    pool_reader=later("cli.task.ops:pool"),
    reader=later("cli.task.ops:body"),
    show=later("cli.task.show:show"),
    columns=(
        Column("ID", "Id of the operation", 6, leaf("ID")),
        Column("USER", "Whose it is", 8, leaf("USER"), left=True),
        Column("OBJECT", "What it changes", 9, _object, left=True),
        Column("NAME", "Name of that", 15, leaf("NAME"), left=True, wide=True),
        Column("OPERATION", "What was asked for", 15, leaf("WHAT"), left=True),
        Column("STEP", "What is done for it now", 18, leaf("STEP"), left=True),
        Column("COMMAND", "The driver's action for that", 18, leaf("COMMAND"), left=True),
        Column("DONE", "How much of the step's bytes", 6, _progress),
        Column("TIME", "How long it takes already", 14, _age),
        Column("LEFT", "Until its step's deadline", 6, _left),
        Column("TRY", "Attempts of the step", 3, leaf("ATTEMPT")),
        Column("STAT", "running, waiting, held or cancelling", 10, leaf("STATE"), left=True, state=True),
        Column("REQUEST", "Id of the request that began it", 16, leaf("RID"), left=True),
    ),
    default=("ID", "OBJECT", "NAME", "OPERATION", "STEP", "DONE", "TIME", "STAT"),
    commands={
        **shared("list", "top", "show"),
        **{name: later(f"cli.task.commands:{name}") for name in ("cancel", "follow", "wait")},
    },
)
