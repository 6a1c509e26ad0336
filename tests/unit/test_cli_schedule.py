"""`--schedule` and its relatives, and the commands that change what is scheduled."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.errors import CliError
from cli.vm import schedule
from cli.vm.scheduled import charter
from onecore.wire.template import parse

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
NOW = 1_790_000_000.0
TODAY = 1_789_948_800
"""Midnight of the day of NOW, 2026-09-21, a Monday, in UTC."""


@pytest.fixture(autouse=True)
def utc(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are told in UTC; each scheduled action gets the next id."""
    time.tzset()
    monkeypatch.setattr("cli.source.piped", lambda: False)
    cloud.answers["one.vm.schedadd"] = lambda oid, text: len(cloud.made("one.vm.schedadd")) - 1


def vector(text: str) -> dict[str, str]:
    """The SCHED_ACTION of TEXT."""
    (found,) = parse(text).vectors("SCHED_ACTION")
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", int(NOW)),
        ("09/23 14:15", TODAY + 2 * 86400 + 51300),
        ("09/23 14:15:30", TODAY + 2 * 86400 + 51330),
        ("09/23", TODAY + 2 * 86400),
        ("14:15", TODAY + 51300),
        ("2026-09-23 14:15", TODAY + 2 * 86400 + 51300),
        ("2026/09/23 14:15:00", TODAY + 2 * 86400 + 51300),
        ("2026-09-23T14:15:00+02:00", TODAY + 2 * 86400 + 51300 - 7200),
        ("1790000000", 1790000000),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert schedule.moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "13/01 10:00", "25:00", "+", "+1w", "12345", "2026-02-30", "９９:00"])
def test_no_times(text: str) -> None:
    with pytest.raises(CliError, match="is not a time"):
        schedule.moment(text, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("+600", 600), ("+10m", 600), ("+2h", 7200), ("+1d", 86400), ("600", None)]
)
def test_after_the_start(text: str, seconds: int | None) -> None:
    assert schedule.seconds_after(text) == seconds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"schedule": "+600"}, {"TIME": "+600"}),
        (
            {"schedule": "09/23", "weekly": "0, 2"},
            {"TIME": str(TODAY + 172800), "REPEAT": "0", "DAYS": "0,2", "END_TYPE": "0"},
        ),
        ({"schedule": "+0", "monthly": "31"}, {"TIME": "+0", "REPEAT": "1", "DAYS": "31", "END_TYPE": "0"}),
        (
            {"schedule": "+0", "yearly": "0,365", "end": "3"},
            {"TIME": "+0", "REPEAT": "2", "DAYS": "0,365", "END_TYPE": "1", "END_VALUE": "3"},
        ),
        (
            {"schedule": "+0", "hourly": "5", "end": "2030-01-01", "misfire": "skip"},
            {"TIME": "+0", "REPEAT": "3", "DAYS": "5", "END_TYPE": "2", "END_VALUE": "1893456000", "MISFIRE": "SKIP"},
        ),
        (
            {"schedule": "09/01 02:00", "weekly": "1"},
            {"TIME": str(TODAY - 20 * 86400 + 7200), "REPEAT": "0", "DAYS": "1", "END_TYPE": "0"},
        ),
    ],
)
def test_templates(given: dict[str, str], expected: dict[str, str]) -> None:
    assert vector(schedule.template("resume", given, "", NOW)) == {"ACTION": "resume", **expected}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"weekly": "1"}, "--weekly needs --schedule"),
        ({"end": "3"}, "--end needs --schedule"),
        ({"schedule": "+0", "weekly": "1", "hourly": "2"}, "give one of --weekly"),
        ({"schedule": "+0", "weekly": "7"}, "from 0 to 6"),
        ({"schedule": "+0", "weekly": "mon"}, "from 0 to 6"),
        ({"schedule": "+0", "monthly": "0"}, "from 1 to 31"),
        ({"schedule": "+0", "yearly": "366"}, "from 0 to 365"),
        ({"schedule": "+0", "hourly": "1,2"}, "one number"),
        ({"schedule": "+0", "hourly": "169"}, "from 1 to 168"),
        ({"schedule": "+0", "hourly": "1", "end": "0"}, "at least one run"),
        ({"schedule": "+0", "end": "3"}, "--end is for actions that repeat"),
        ({"schedule": "+0", "hourly": "1", "end": "soon"}, "--end 'soon' is not a time"),
        ({"schedule": "soon"}, "--schedule 'soon' is not a time"),
        ({"schedule": "09/20 14:15"}, "is past"),
    ],
)
def test_what_means_nothing(given: dict[str, str], told: str) -> None:
    with pytest.raises(CliError, match=told):
        schedule.template("resume", given, "", NOW)


def test_an_action_is_scheduled_and_not_done(one: Runner, cloud: Cloud) -> None:
    outcome = one("vm", "poweroff", "7,9", "--hard", "--schedule", "09/23 14:15", "--weekly", "0,2", "--end", "5")
    assert outcome.code == 0
    assert outcome.out == "".join(
        f"VM {oid}: poweroff-hard scheduled at 09/23/2026 14:15:00, id {i}\n" for i, oid in enumerate((7, 9))
    )
    assert [oid for oid, _ in cloud.made("one.vm.schedadd")] == [7, 9]
    assert vector(cloud.made("one.vm.schedadd")[0][1])["ACTION"] == "poweroff-hard"
    assert cloud.made("one.vm.action") == []


def test_after_its_start(one: Runner, cloud: Cloud) -> None:
    assert one("vm", "resume", "7", "--schedule", "+10m").out == "VM 7: resume scheduled 600 s after its start, id 0\n"


def test_a_dry_run_schedules_nothing_and_does_not_say_so(one: Runner, cloud: Cloud) -> None:
    cloud.answers["onecore.dryrun"] = 4
    outcome = one("vm", "poweroff", "7", "--schedule", "now", "--dry-run", "-v")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "would be: one.vm.schedadd of 7\n")
    assert cloud.made("one.vm.schedadd") == []


@pytest.mark.parametrize("name", ["resched", "unresched"])
def test_what_cannot_be_scheduled(one: Runner, cloud: Cloud, name: str) -> None:
    outcome = one("vm", name, "7", "--schedule", "now")
    assert (outcome.code, cloud.calls) == (255, [])
    assert "No such option" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "action", "args"),
    [
        (("snapshot-create", "7"), "snapshot-create", ""),
        (("snapshot-create", "7", "nightly"), "snapshot-create", "nightly"),
        (("snapshot-revert", "7", "2"), "snapshot-revert", "2"),
        (("snapshot-delete", "7", "2"), "snapshot-delete", "2"),
        (("disk-snapshot-create", "7", "0", "a b"), "disk-snapshot-create", "0,a b"),
        (("disk-snapshot-revert", "7", "0", "3"), "disk-snapshot-revert", "0,3"),
        (("disk-snapshot-delete", "7", "0", "3"), "disk-snapshot-delete", "0,3"),
    ],
)
def test_snapshots_take_arguments(
    one: Runner, cloud: Cloud, arguments: tuple[str, ...], action: str, args: str
) -> None:
    assert one("vm", *arguments, "--schedule", "+60").code == 0
    ((oid, text),) = cloud.made("one.vm.schedadd")
    assert (oid, vector(text)) == (7, {"ACTION": action, **({"ARGS": args} if args else {}), "TIME": "+60"})
    assert [call[0] for call in cloud.calls] == ["one.vm.schedadd"]


ACTION = (
    "<SCHED_ACTION><ID>2</ID><PARENT_ID>7</PARENT_ID><TYPE>VM</TYPE><ACTION>resume</ACTION><TIME>+60</TIME>"
    "<DONE>-1</DONE></SCHED_ACTION>"
)


@pytest.mark.parametrize("name", ["sched-update", "update-chart"])
@pytest.mark.parametrize("text", ["TIME=+90\n", 'SCHED_ACTION=[TIME="+90"]'])
def test_update_from_a_file(one: Runner, cloud: Cloud, tmp_path: Path, name: str, text: str) -> None:
    cloud.answers["one.vm.schedupdate"] = 2
    (tmp_path / "t").write_text(text)
    assert one("vm", name, "7", "2", str(tmp_path / "t"), "-v").out == "VM 7: scheduled action 2 updated\n"
    ((oid, sched, sent),) = cloud.made("one.vm.schedupdate")
    assert (oid, sched, vector(sent)) == (7, 2, {"TIME": "+90"})


def test_update_in_an_editor(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", extra=ACTION)
    cloud.answers["one.vm.schedupdate"] = 2
    (tmp_path / "ed").write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/seen\nsed -i s/60/90/ "$1"\n')
    (tmp_path / "ed").chmod(0o755)
    monkeypatch.setenv("EDITOR", str(tmp_path / "ed"))
    assert one("vm", "sched-update", "7", "2").code == 0
    assert (tmp_path / "seen").read_text() == 'ACTION="resume"\nTIME="+60"\n'
    assert vector(cloud.made("one.vm.schedupdate")[0][2]) == {"ACTION": "resume", "TIME": "+90"}
    assert "VM 7 has no scheduled action 3" in one("vm", "sched-update", "7", "3").err


@pytest.mark.parametrize("name", ["sched-delete", "delete-chart"])
def test_delete(one: Runner, cloud: Cloud, name: str) -> None:
    cloud.answers["one.vm.scheddelete"] = 7
    assert one("vm", name, "7", "2", "-v").out == "VM 7: scheduled action 2 deleted\n"
    assert cloud.made("one.vm.scheddelete") == [(7, 2)]
    assert one("vm", name, "7", "two").code == 255


def test_charters(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(7, "web")
    monkeypatch.setattr("cli.vm.scheduled.CONFIGURED", (str(tmp_path / "onevm.yaml"),))
    assert "no charters in" in one("vm", "create-chart", "7").err
    (tmp_path / "onevm.yaml").write_text(
        ":charters:\n  :suspend:\n    :time: '+1000'\n    :warning:\n      :time: '+100'\n"
        "  :terminate:\n    :time: '+500'\n"
    )
    assert one("vm", "create-chart", "7").code == 0
    assert [vector(text) for _, text in cloud.made("one.vm.schedadd")] == [
        {"ACTION": "suspend", "TIME": "+4700", "WARNING": "+3800"},
        {"ACTION": "terminate", "TIME": "+5200"},
    ]


@pytest.mark.parametrize("when", [{}, {"time": "soon"}, None, {"time": "1", "warning": {}}])
def test_a_charter_that_is_none(when: Any) -> None:
    with pytest.raises(CliError, match="charters: suspend needs time"):
        charter({"suspend": when}, 0)
