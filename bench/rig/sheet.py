"""The sheet of a run: one row a figure, printed as a markdown table or kept as JSON."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.rig.turns import Beside


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.  `shown` is what the table says; `ratio` is in floors; `met` is None where there is no goal."""

    what: str
    shown: str
    value: float
    unit: str
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    opennebula: str = ""
    steady: bool = True
    details: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Sheet:
    """All rows, in the order of the table.  GOALS=False: the run is too small for them."""

    goals: bool
    rows: list[Row] = field(default_factory=list)

    def rate(self, what: str, value: float, beside: Beside, least: float, opennebula: str = "",
             details: dict[str, float] | None = None, note: str = "") -> float:
        """A rate, with a goal of at least so many floors; its ratio."""
        ratio = value / beside.floor
        self._add(Row(what, f"{number(value)}/s{note}", round(value, 1), "1/s", round(ratio, 4), f"≥ {least:g} F",
                      ratio >= least, opennebula, beside.steady, {"floor": round(beside.floor), **(details or {})}))
        return ratio

    def figure(self, what: str, value: float, unit: str, most: float | None = None, opennebula: str = "",
               details: dict[str, float] | None = None, note: str = "") -> None:
        """Anything where less is better, with a goal of at most MOST."""
        goal, met = ("", None) if most is None else (f"≤ {most:g} {unit}", value <= most)
        self._add(Row(what, f"{number(value)} {unit}{note}", round(value, 4), unit, None, goal, met, opennebula,
                      details=details or {}))

    def share(self, what: str, value: float, least: float, opennebula: str = "") -> None:
        """A plain number that should not be less than LEAST."""
        self._add(Row(what, f"{value:.2f}", round(value, 3), "", None, f"≥ {least:g}", value >= least, opennebula))

    def floor(self, floors: Sequence[float], middle: float, size: int) -> None:
        """F itself, as the first row."""
        shown = f"{number(middle)}/s ({number(min(floors))}–{number(max(floors))})"
        self.rows.insert(0, Row(f"F, the floor, {size:,} bytes an answer", shown, round(middle), "1/s", 1.0,
                                details={"least": round(min(floors)), "most": round(max(floors)), "runs": len(floors)}))

    def _add(self, row: Row) -> None:
        self.rows.append(row)

    def table(self) -> str:
        """The rows as a markdown table whose columns are aligned."""
        head = ["what", "onecore", "of F", "goal", "met", "OpenNebula 7.4.0"]
        lines = [head, *map(self._cells, self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
                 for line in lines]
        drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(drawn)

    def _cells(self, row: Row) -> list[str]:
        ratio = "" if row.ratio is None else f"{row.ratio:.{2 if row.ratio >= 0.1 else 4}f}"
        met = {None: "", True: "yes", False: "no"}[row.met] if self.goals else ""
        return [row.what, row.shown + ("" if row.steady else " ~"), ratio, row.goal if self.goals else "", met,
                row.opennebula]

    def values(self) -> list[dict[str, object]]:
        """The rows for JSON."""
        return [asdict(row) for row in self.rows]


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
