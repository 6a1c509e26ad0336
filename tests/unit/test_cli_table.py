"""Widths, cutting and colours of tables."""

from __future__ import annotations

import pytest

from cli import table
from cli.cells import lasted, size
from cli.kind import View

HEADS = (
    table.Head("ID", 4),
    table.Head("NAME", 6, left=True, wide=True),
    table.Head("STAT", 4, left=True, state=True),
    table.Head("HOST", 5, left=True),
)
ROWS = (("7", "a-very-long-name", "runn", "a-long-host-name"), ("8", "b", "fail", "-"))


def test_nothing_is_cut_off_a_terminal() -> None:
    assert table.lines(HEADS, ROWS, table.Layout())[1] == "   7 a-very-long-name runn a-long-host-name"


def test_a_narrow_terminal_cuts_the_widest_down_to_the_least() -> None:
    lines = table.lines(HEADS, ROWS, table.Layout(width=30))
    assert [len(line) for line in lines] == [24, 30, 21]
    assert lines[1] == "   7 a-very-lo runn a-long-hos"
    assert table.widths(HEADS, ROWS, table.Layout(width=1)) == [4, 6, 4, 5]


def test_a_wide_terminal_is_filled_by_the_wide_column() -> None:
    assert sum(table.widths(HEADS, ROWS, table.Layout(width=100))) + 3 == 100
    assert table.widths(HEADS, ROWS, table.Layout(width=100, grow={})) == [4, 16, 4, 16]


def test_shares_of_what_is_left_over() -> None:
    sizes = table.widths(HEADS, ROWS, table.Layout(width=63, grow={"NAME": 0.25, "HOST": 0.5}))
    assert sizes == [4, 16 + 5, 4, 16 + 10]


def test_fixed_and_fitting_widths() -> None:
    layout = table.Layout(sizes={"NAME": 3}, fit=frozenset({"ID"}))
    assert table.widths(HEADS, ROWS, layout) == [2, 3, 4, 16]
    assert table.lines(HEADS, ROWS, layout)[1] == " 7 a-v runn a-long-host-name"


def test_colours_are_only_around_states_and_header() -> None:
    lines = table.lines(HEADS, ROWS, table.Layout(colour=True))
    assert lines[0].startswith("\x1b[1m\x1b[4m  ID")
    assert "\x1b[32mrunn\x1b[0m" in lines[1]
    assert "\x1b[31mfail\x1b[0m" in lines[2]
    assert "\x1b" not in "".join(table.lines(HEADS, ROWS, table.Layout()))


@pytest.mark.parametrize(
    ("kilobytes", "text"),
    [
        (0, "0K"),
        (512, "512K"),
        (1024, "1M"),
        (1536, "1.5M"),
        (131072, "128M"),
        (1024**2 * 8, "8G"),
        (1024**5 * 2, "2048P"),
    ],
)
def test_sizes(kilobytes: int, text: str) -> None:
    assert size(kilobytes, View()) == text
    assert size(kilobytes, View(kilobytes=True)) == str(kilobytes)


@pytest.mark.parametrize(
    ("seconds", "short", "full"),
    [
        (0, "  0d 00h00", "  0d 00h00m00s"),
        (90061, "  1d 01h01", "  1d 01h01m01s"),
        (-5, "  0d 00h00", "  0d 00h00m00s"),
    ],
)
def test_durations(seconds: int, short: str, full: str) -> None:
    assert (lasted(seconds), lasted(seconds, full=True)) == (short, full)
