"""fence/ipmi with an ipmitool of our own: what it is told, when the host counts as off, where the password is seen."""
from __future__ import annotations

from pathlib import Path

import pytest
from fencing_ground import calls, fake_ipmitool, fence, host

BMC = {"IPMI_ADDRESS": "10.0.0.9", "IPMI_USER": "admin", "IPMI_PASSWORD": "it's $HOME; se cret"}
SENT = "-I lanplus -H 10.0.0.9 -U admin -E chassis power"


def test_it_takes_the_power_and_waits_until_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is in the environment, never among the arguments."""
    bmc = fake_ipmitool(tmp_path / "bin", monkeypatch)
    assert fence(tmp_path, "ipmi", host(**BMC), poll=0.01).ok
    assert calls(bmc) == [(BMC["IPMI_PASSWORD"], f"{SENT} {word}")
                          for word in ("status", "off", "status", "status", "status")]


def test_a_host_that_is_off_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice ends like once."""
    bmc = fake_ipmitool(tmp_path / "bin", monkeypatch, polls=0)
    for _ in range(2):
        result = fence(tmp_path, "ipmi", host(**BMC), poll=0.01)
        assert result.ok and result.data == {"off": True}
    assert [rest.rsplit(" ", 1)[1] for _, rest in calls(bmc)] == ["status", "off", "status", "status"]


def test_power_that_stays_on_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the command bounds the looks."""
    fake_ipmitool(tmp_path / "bin", monkeypatch, polls=10_000)
    result = fence(tmp_path, "ipmi", host(**BMC), timeout=0.5, poll=0.02)
    assert not result.ok and result.temporary


def test_the_errors_of_ipmitool_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own words, without how it was called."""
    bmc = fake_ipmitool(tmp_path / "bin", monkeypatch)
    (bmc / "fail").touch()
    result = fence(tmp_path, "ipmi", host(**BMC))
    assert not result.ok and "exec" not in result.error and "secret" not in result.error.replace(" ", "")
    assert result.error.startswith("ipmitool chassis power status: ended with 1: Error: Unable to establish IPMI")


def test_an_answer_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a clear word counts."""
    bmc = fake_ipmitool(tmp_path / "bin", monkeypatch)
    (bmc / "ipmitool").write_text("#!/bin/sh\necho 'Chassis Power is official'\n")
    result = fence(tmp_path, "ipmi", host(**BMC))
    assert not result.ok and "does not say" in result.error


def test_settings_stand_in_for_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes win; port and interface are optional."""
    bmc = fake_ipmitool(tmp_path / "bin", monkeypatch, polls=0)
    there = host(IPMI_ADDRESS="bmc1", IPMI_PORT="6230")
    assert fence(tmp_path, "ipmi", there, user="root", password="x", interface="lan", poll=0.01).ok
    assert calls(bmc)[0] == ("x", "-I lan -H bmc1 -U root -p 6230 -E chassis power status")


@pytest.mark.parametrize(("attrs", "says"), [
    ({}, "host node1 has no IPMI_ADDRESS"),
    ({**BMC, "IPMI_ADDRESS": "-x"}, "IPMI_ADDRESS of host node1 is not one line of text"),
    ({**BMC, "IPMI_PASSWORD": "a\nb"}, "IPMI_PASSWORD of host node1 is not one line of text")])
def test_what_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attrs: dict[str, str],
                                      says: str) -> None:
    """Before anything is called."""
    bmc = fake_ipmitool(tmp_path / "bin", monkeypatch)
    assert fence(tmp_path, "ipmi", host(**attrs)).error == says and calls(bmc) == []
