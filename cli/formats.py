"""The forms a body can be printed in: XML, JSON, YAML, names.  Each imports what it needs when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

FORMATS = ("table", "json", "yaml", "csv", "xml", "name")


def options() -> list[click.Parameter]:
    """-o and its older forms -x -j -y; read them with `chosen`."""
    return [
        click.Option(["-o", "--output"], type=click.Choice(FORMATS), help="Form of the output."),
        click.Option(["-x", "--xml"], is_flag=True, help="XML, as -o xml."),
        click.Option(["-j", "--json"], is_flag=True, help="JSON, as -o json."),
        click.Option(["-y", "--yaml"], is_flag=True, help="YAML, as -o yaml."),
    ]


def chosen(output: str | None, xml: bool = False, json: bool = False, yaml: bool = False, csv: bool = False) -> str:
    """The form that the options ask for."""
    given = {"xml": xml, "json": json, "yaml": yaml, "csv": csv}
    return output or next((name for name, asked in given.items() if asked), "table")


def document(body: Body, form: str) -> str:
    """BODY as xml, json or yaml."""
    from onecore.wire import xmlbody

    if form == "xml":
        return xmlbody.show(body).rstrip("\n")
    return plain(xmlbody.to_dict(body), form)


def plain(data: object, form: str) -> str:
    """DATA as json or yaml."""
    if form == "yaml":
        import yaml

        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, explicit_start=True).rstrip("\n")
    import json

    return json.dumps(data, indent=2, ensure_ascii=False)


def separated(rows: Sequence[Sequence[str]], delimiter: str) -> list[str]:
    """ROWS as CSV lines."""
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue().splitlines()
