"""Real processes and a real kill -9: a few runs, other ones with another CHAOS_SEED, more with ONECORE_LONG=1."""
from __future__ import annotations

import os
from pathlib import Path

import chaos_real as real
import pytest
from chaos_actions import ACTIONS
from sim_points import LONG

SEED, NUMBER = int(os.environ.get("CHAOS_SEED", "1")), 30 if LONG else 4


@pytest.mark.timeout(600)
def test_all_arrives_whatever_is_killed(tmp_path: Path) -> None:
    """Each VM is where it was heading, nothing is lost or left."""
    reports: list[real.RealReport] = []
    real.carry_out(real.plans(ACTIONS, SEED, NUMBER), tmp_path, reports.append)
    assert [f"{report.command()}: {report.violations}" for report in reports if report.violations] == []
    assert len(reports) == NUMBER and all(report.met for report in reports)
