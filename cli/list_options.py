"""The options of `list` and `top`, as OpenNebula's commands have them."""

from __future__ import annotations

import click

from cli import formats
from cli.kind import Kind


def arguments(kind: Kind) -> list[click.Parameter]:
    """The filter flag, for pools that take one."""
    return [click.Argument(["filterflag"], required=False, default="a")] if kind.filtered else []


def options(kind: Kind) -> list[click.Parameter]:
    """Everything else; cli.listing reads them.  --search is for kinds whose full bodies come in one answer."""
    return [
        *formats.options(),
        click.Option(["-l", "--list", "names"], metavar="X,Y", help="Columns to show."),
        click.Option(["-c", "--listconf", "named"], metavar="NAME", help="A named set of columns."),
        click.Option(
            ["-d", "--delay"], type=click.FloatRange(min=0.1), default=5.0, help="Seconds between refreshes of top."
        ),
        click.Option(
            ["-f", "--filter", "condition"], metavar="A=B,C~D", help="Only rows that meet = != < <= > >= or ~."
        ),
        click.Option(
            ["--operator"],
            type=click.Choice(["AND", "OR"], case_sensitive=False),
            default="AND",
            help="How conditions join.",
        ),
        click.Option(["--csv"], is_flag=True, help="Comma separated values."),
        click.Option(["--csv-del", "delimiter"], metavar="CHAR", default=",", help="Separator of --csv."),
        click.Option(["--no-pager"], is_flag=True, help="Never through $ONE_PAGER."),
        click.Option(["--no-header"], is_flag=True, help="No header line."),
        click.Option(["--adjust"], metavar="X,Y", help="Columns as wide as their content."),
        click.Option(["-s", "--size"], metavar="X=N,Y=M", help="Widths of columns."),
        click.Option(
            ["--expand"], metavar="X=0.4,Y", is_flag=False, flag_value="", help="Columns that fill the terminal."
        ),
        click.Option(["--no-expand"], is_flag=True, help="Fill nothing."),
        click.Option(["--extended"], is_flag=True, help="Bodies with everything (xml, json, yaml)."),
        click.Option(["-n", "--numeric"], is_flag=True, help="Ids instead of names of users and groups."),
        click.Option(["-k", "--kilobytes"], is_flag=True, help="Sizes in kilobytes."),
        click.Option(["--describe"], is_flag=True, help="Tell what the columns mean."),
        *([_search(kind)] if kind.extended else []),
    ]


def _search(kind: Kind) -> click.Option:
    return click.Option(
        ["--search"],
        metavar="QUERY",
        help=f"Only those whose whole body has it: a word, or {kind.tag}.NAME=web&{kind.tag}.TEMPLATE.NIC.IP=10.0.",
    )
