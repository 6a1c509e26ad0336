"""SCHED_ACTION: what is done to a VM at a time or again and again; its form, when it is due, how bodies show it.

Pure but for the index.  kinds/vm/due.py does what is due, kinds/vm/scheduling.py is the API.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onecore.errors import NotAllocated
from onecore.kinds.kind import MAX_ID, whole
from onecore.kinds.vm.record import Scheduled
from onecore.lifecycle.calendar import next_time
from onecore.lifecycle.core import Core
from onecore.pool.store import Groups, Tx
from onecore.wire import xmlbody
from onecore.wire.template import Vector
from onecore.wire.xmlrpc import escape_bytes

NAME = "SCHED_ACTION"
SLACK = 60
"""Seconds that a TIME may be past: clocks differ, and calls take a while."""
MOST = 100
"""Scheduled actions of one VM."""
MAX_TIME = 2**35


@dataclass(frozen=True, slots=True)
class Action:
    """The method that a scheduled action calls, and the words for what its ARGS must hold."""

    method: str
    args: tuple[str, ...] = ()


ACTIONS = {
    **{name: Action("one.vm.action") for name in (
        "terminate", "terminate-hard", "undeploy", "undeploy-hard", "hold", "release", "stop", "suspend", "resume",
        "reboot", "reboot-hard", "poweroff", "poweroff-hard")},
    "snapshot-create": Action("one.vm.snapshotcreate", ("name",)),
    "snapshot-revert": Action("one.vm.snapshotrevert", ("snapshot id",)),
    "snapshot-delete": Action("one.vm.snapshotdelete", ("snapshot id",)),
    "disk-snapshot-create": Action("one.vm.disksnapshotcreate", ("disk id", "name")),
    "disk-snapshot-revert": Action("one.vm.disksnapshotrevert", ("disk id", "snapshot id")),
    "disk-snapshot-delete": Action("one.vm.disksnapshotdelete", ("disk id", "snapshot id")),
}
"""What can be scheduled."""

REPEATS = {0: ("week", 0, 6), 1: ("month", 1, 31), 2: ("year", 0, 365), 3: ("hours", 1, 168)}
"""OpenNebula's REPEAT: the series, and from where to where DAYS go."""
_REPEATS = "0 (week), 1 (month), 2 (year) or 3 (hours)"
NEVER, TIMES, DATE = 0, 1, 2
"""END_TYPE."""
MISFIRES = ("run", "skip")
_READ = ("ACTION", "TIME", "ARGS", "REPEAT", "DAYS", "END_TYPE", "END_VALUE", "WARNING", "MISFIRE")
_SHOWN = ("ID", "PARENT_ID", "TYPE", "DONE", "MESSAGE")
"""What bodies show besides, and clients hand back."""


def _bad(name: str, expected: str, given: str) -> NotAllocated:
    return NotAllocated(f"SCHED_ACTION {name} must be {expected}, not {given[:40]!r}" if given else
                        f"SCHED_ACTION {name} must be {expected}, it is missing")


def read(vector: Mapping[str, str]) -> Scheduled:
    """The scheduled action of a vector, without ids and not planned yet; raises NotAllocated naming the attribute."""
    unknown = [key for key in vector if key not in _READ and key not in _SHOWN]
    if unknown:
        raise NotAllocated(f"SCHED_ACTION may hold {', '.join(_READ)}, not {unknown[0][:40]}")
    given = {key: vector.get(key, "").strip() for key in _READ}
    action = _action(given["ACTION"])
    repeat, days = _repeat(given["REPEAT"], given["DAYS"])
    end_type, end_value = _end(given["END_TYPE"], given["END_VALUE"], repeat)
    return Scheduled(-1, -1, action, _args(action, given["ARGS"]), _time(given["TIME"]), repeat, days, end_type,
                     end_value, 0, 0, 0, "", _warning(given["WARNING"]), _misfire(given["MISFIRE"]), -1, -1)


def _action(given: str) -> str:
    name = given.lower()
    if name == "backup":
        raise NotAllocated("SCHED_ACTION ACTION backup is not there yet")
    if name not in ACTIONS:
        raise _bad("ACTION", f"one of {', '.join(ACTIONS)}", given)
    return name


def _args(action: str, given: str) -> str:
    wanted = ACTIONS[action].args
    parts = arguments(action, given)
    expected = f"{', '.join(wanted)} for {action}" if wanted else f"left out for {action}"
    if len(parts) != len(wanted) or not all(parts):
        raise _bad("ARGS", expected, given)
    if any(word.endswith("id") and whole(part, 0, MAX_ID) is None
           for word, part in zip(wanted, parts, strict=True)):
        raise _bad("ARGS", expected, given)
    return given


def arguments(action: str, args: str) -> list[str]:
    """ARGS, taken apart as ACTION needs them; a name, which comes last, may hold commas."""
    return [part.strip() for part in args.split(",", max(0, len(ACTIONS[action].args) - 1))] if args else []


def _time(given: str) -> str:
    if whole(given.removeprefix("+"), 0, MAX_TIME) is None:
        raise _bad("TIME", "Unix seconds, or + and the seconds after the VM's start", given)
    return given


def _repeat(given: str, days: str) -> tuple[int, str]:
    if given in ("", "-1"):
        if days:
            raise NotAllocated(f"SCHED_ACTION REPEAT must be given with DAYS: {_REPEATS}")
        return -1, ""
    repeat = whole(given, 0, len(REPEATS) - 1)
    if repeat is None:
        raise _bad("REPEAT", _REPEATS, given)
    series, least, most = REPEATS[repeat]
    found = [whole(part.strip(), least, most) for part in days.split(",")]
    if None in found or (series == "hours" and len(found) > 1):
        what = f"one number of hours from {least} to {most}" if series == "hours" else (
            f"numbers from {least} to {most} with commas between them, days of the {series}")
        raise _bad("DAYS", what, days)
    return repeat, ",".join(str(day) for day in dict.fromkeys(found))


def _end(given: str, value: str, repeat: int) -> tuple[int, int]:
    if given in ("", "-1"):
        return (NEVER if repeat >= 0 else -1), -1
    kind = whole(given, NEVER, DATE)
    if kind is None:
        raise _bad("END_TYPE", "0 (never), 1 (END_VALUE times) or 2 (END_VALUE is a time)", given)
    if repeat < 0 and kind != NEVER:
        raise NotAllocated(f"SCHED_ACTION REPEAT must be given with END_TYPE: {_REPEATS}")
    if kind == NEVER:
        return (NEVER if repeat >= 0 else -1), -1
    found = whole(value, 1, MAX_TIME)
    if found is None:
        raise _bad("END_VALUE", "how many times, from 1" if kind == TIMES else "Unix seconds", value)
    return kind, found


def _warning(given: str) -> int:
    digits = given.removeprefix("+").removeprefix("-")
    if given and whole(digits, 0, MAX_TIME) is None:
        raise _bad("WARNING", "a whole number of seconds", given)
    return int(given or 0)


def _misfire(given: str) -> str:
    if given.lower() not in ("", *MISFIRES):
        raise _bad("MISFIRE", "run (once, late) or skip", given)
    return given.lower() or MISFIRES[0]


# -- when

def plan(row: Scheduled, stime: int, now: int) -> Scheduled:
    """ROW, due for the first time from NOW on, of a VM made at STIME; raises NotAllocated if that is never."""
    first = _anchor(row, stime)
    if row.repeat < 0 and first < now - SLACK:
        raise NotAllocated(f"SCHED_ACTION TIME must not be past: {row.time} was {now - first} s ago")
    due = first if row.repeat < 0 else _series(row, first, first if first >= now - SLACK else now)
    if not due or (row.end_type == DATE and due > row.end_value):
        raise NotAllocated(f"SCHED_ACTION END_VALUE must not be before the first run, {due}, it is {row.end_value}")
    return replace(row, due=due)


def after(row: Scheduled, stime: int, now: int) -> Scheduled:
    """ROW when its run of NOW is over: due again, or not any more."""
    row, first = replace(row, runs=row.runs + 1), _anchor(row, stime)
    due = 0 if row.repeat < 0 else _series(row, first, now + 1)
    ended = (row.end_type == TIMES and row.runs >= row.end_value) or (row.end_type == DATE and due > row.end_value)
    return replace(row, due=0 if ended else due)


def _anchor(row: Scheduled, stime: int) -> int:
    return stime + int(row.time) if row.time.startswith("+") else int(row.time)


def _series(row: Scheduled, first: int, since: int) -> int:
    return next_time(REPEATS[row.repeat][0], [int(day) for day in row.days.split(",")], first, since)


# -- shown and found

def shown_time(row: Scheduled) -> str:
    """TIME in bodies: of what comes again, when it comes next."""
    return row.time if row.repeat < 0 or not row.due or (row.time[0] == "+" and not row.runs) else str(row.due)


def vector(row: Scheduled) -> Vector:
    """What the template says, as it is shown, and ours besides."""
    return {"ACTION": row.action, "TIME": shown_time(row), "ARGS": row.args, "REPEAT": str(row.repeat),
            "DAYS": row.days, "END_TYPE": str(row.end_type), "END_VALUE": str(row.end_value),
            "WARNING": str(row.warning), "MISFIRE": row.misfire}


def of(core: Core, vid: int) -> list[Scheduled]:
    """The scheduled actions of a VM, by id."""
    found: Groups[Scheduled] = core.kinds["scheduled"]
    return [row for oid in sorted(found.of(vid)) if (row := core.store.get(Scheduled, oid)) is not None]


def ids_xml(core: Core, vid: int) -> str:
    """<SCHED_ACTIONS>."""
    return xmlbody.ids("SCHED_ACTIONS", (row.oid for row in of(core, vid)))


def vectors_xml(core: Core, vid: int) -> bytes:
    """<SCHED_ACTION> … of TEMPLATE, escaped, in the order of the schema."""
    return escape_bytes("".join(
        f"<SCHED_ACTION><ID>{row.oid}</ID><PARENT_ID>{row.vid}</PARENT_ID><TYPE>VM</TYPE>"
        f"{xmlbody.text('ACTION', row.action)}{xmlbody.text('ARGS', row.args)}{xmlbody.text('TIME', shown_time(row))}"
        f"<REPEAT>{row.repeat}</REPEAT>{xmlbody.text('DAYS', row.days)}<END_TYPE>{row.end_type}</END_TYPE>"
        f"<END_VALUE>{row.end_value}</END_VALUE><DONE>{row.done or -1}</DONE>{xmlbody.text('MESSAGE', row.message)}"
        f"<WARNING>{row.warning}</WARNING></SCHED_ACTION>" for row in of(core, vid)))


def forget(tx: Tx, core: Core, vid: int) -> None:
    """The VM is at its end, and nothing is done to it any more."""
    for row in of(core, vid):
        tx.delete(row)
