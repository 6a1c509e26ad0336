"""`--schedule` and its relatives: an action that is to be done later, as one.vm.schedadd takes it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import click

from cli.errors import CliError
from cli.ids import each
from cli.kind import Kind
from cli.session import Session
from cli.spans import UNITS


class Repeat(NamedTuple):
    """How a scheduled action repeats: OpenNebula's number for it, and what its days may be."""

    number: int
    least: int
    most: int
    help: str


REPEATS = {
    "weekly": Repeat(0, 0, 6, "Again on these days of the week, 0 (Sunday) to 6."),
    "monthly": Repeat(1, 1, 31, "Again on these days of the month."),
    "yearly": Repeat(2, 0, 365, "Again on these days of the year, from 0."),
    "hourly": Repeat(3, 1, 168, "Again every so many hours, at most a week."),
}
NO_END, END_TIMES, END_DATE = 0, 1, 2
"""Numbers of END_TYPE."""
_AFTER = re.compile(r"\+(\d+)([smhd]?)\Z")
_OPTIONS = ("schedule", *REPEATS, "end", "misfire")
_FORMS = ("%Y %m/%d %H:%M", "%Y %m/%d %H:%M:%S", "%Y %m/%d")


def options() -> list[click.Parameter]:
    """The options; give what they were given to `planned`."""
    return [
        click.Option(
            ["--schedule"],
            metavar="TIME",
            help='Later: at "09/23 14:15", 14:15, "2030-09-23 14:15", now; or +SECONDS (+10m, +2h, +1d) '
            "after the VM's start.",
        ),
        *(
            click.Option([f"--{name}"], metavar="N" if name == "hourly" else "DAYS", help=repeat.help)
            for name, repeat in REPEATS.items()
        ),
        click.Option(["--end"], metavar="N|TIME", help="The last of the repeats: after N of them, or at that time."),
        click.Option(
            ["--misfire"],
            type=click.Choice(["run", "skip"]),
            help="What becomes of a time that passed while oned was down: run late, once (the default), or skip.",
        ),
    ]


def planned(
    session: Session, kind: Kind, ids: str, action: str, given: Mapping[str, Any], args: str = ""
) -> int | None:
    """Schedule ACTION for the VMs instead of doing it now, and return the exit code; None when that is not asked for.

    ARGS are what the action needs besides the VM.  Raises CliError for options that mean nothing.
    """
    asked = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
    if not asked:
        return None
    text, when = template(action, asked, args, time.time()), phrase(asked["schedule"], time.time())

    def add(oid: int) -> None:
        sched_id = session.number("one.vm.schedadd", oid, text)
        if not session.dry:
            session.say(f"{kind.tag} {oid}: {action} scheduled {when}, id {sched_id}")

    return each(session, kind, ids, add, "")


def template(action: str, given: Mapping[str, Any], args: str, now: float) -> str:
    """The SCHED_ACTION of ACTION with the options that were GIVEN; raises CliError."""
    from onecore.wire.template import Tree, to_text

    repeats = [name for name in REPEATS if name in given]
    if "schedule" not in given:
        raise CliError(f"--{next(iter(given))} needs --schedule TIME, which says when the action is done (first)")
    if len(repeats) > 1:
        raise CliError(f"give one of {', '.join(f'--{name}' for name in REPEATS)}, not {len(repeats)}")
    vector = {
        "ACTION": action,
        **({"ARGS": args} if args else {}),
        "TIME": _time(given["schedule"], now, bool(repeats)),
    }
    if repeats:
        name = repeats[0]
        vector |= {"REPEAT": str(REPEATS[name].number), "DAYS": _days(name, given[name]), **_end(given.get("end"), now)}
    elif "end" in given:
        raise CliError("--end is for actions that repeat: give one of " + ", ".join(f"--{n}" for n in REPEATS))
    if "misfire" in given:
        vector["MISFIRE"] = given["misfire"].upper()
    return to_text(Tree([("SCHED_ACTION", vector)]))


def phrase(text: str, now: float) -> str:
    """TEXT, the value of --schedule, in words."""
    after = seconds_after(text)
    if after is not None:
        return f"{after} s after its start"
    return f"at {datetime.fromtimestamp(moment(text, now)):%m/%d/%Y %H:%M:%S}"


def seconds_after(text: str) -> int | None:
    """Seconds of `+600` or `+10m`; None for another form of time."""
    found = _AFTER.match(text.strip())
    return int(found[1]) * UNITS[found[2]] if found else None


def moment(text: str, now: float, name: str = "--schedule") -> int:
    """Epoch seconds of `now`, `09/23 14:15`, `14:15`, ISO 8601 or epoch seconds, in local time.

    Raises CliError that names the option NAME.
    """
    text = text.strip()
    if text == "now":
        return int(now)
    if text.isascii() and text.isdigit() and len(text) >= 9:
        return int(text)
    today = datetime.fromtimestamp(now)
    for form in _FORMS:
        for whole in (f"{today.year} {text}", f"{today:%Y %m/%d} {text}"):
            try:
                return int(datetime.strptime(whole, form).timestamp())
            except ValueError:
                continue
    try:
        return int(datetime.fromisoformat(text.replace("/", "-")).timestamp())
    except ValueError:
        raise CliError(
            f'{name} {text!r} is not a time, as in "09/23 14:15", 14:15, "2030-09-23 14:15", +3600 or now'
        ) from None


def _time(text: str, now: float, repeats: bool) -> str:
    after = seconds_after(text)
    if after is not None:
        return f"+{after}"
    at = moment(text, now)
    if at < now - 60 and not repeats:
        raise CliError(f"--schedule {text!r} is past; for a day of another year write it in full, as in 2030-09-23")
    return str(at)


def _days(name: str, text: str) -> str:
    days = [part.strip() for part in text.split(",")]
    repeat = REPEATS[name]
    if not all(d.isascii() and d.isdigit() and repeat.least <= int(d) <= repeat.most for d in days):
        raise CliError(f"--{name} {text!r}: numbers from {repeat.least} to {repeat.most} were expected")
    if name == "hourly" and len(days) > 1:
        raise CliError(f"--hourly {text!r}: one number was expected")
    return ",".join(days)


def _end(text: str | None, now: float) -> dict[str, str]:
    if text is None:
        return {"END_TYPE": str(NO_END)}
    if text.isascii() and text.isdigit() and len(text) < 9:
        if int(text) < 1:
            raise CliError("--end 0: at least one run was expected")
        return {"END_TYPE": str(END_TIMES), "END_VALUE": text}
    return {"END_TYPE": str(END_DATE), "END_VALUE": str(moment(text, now, "--end"))}
