"""The configuration: defaults, overrides, and errors that name the key and what it wants."""
from __future__ import annotations

from pathlib import Path

import pytest

from onecore.config import BOUNDS, FORMS, Config, ConfigError, load, parse


def test_nothing_given_is_all_defaults(tmp_path: Path) -> None:
    """Without a file, with an empty one, with empty sections."""
    path = tmp_path / "oned.conf"
    path.write_text("[server]\n[drivers.dummy]\n")
    assert load(None) == Config() and parse({}) == Config()
    assert load(path) == Config(drivers={"dummy": {}})


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    """Key by key."""
    path = tmp_path / "oned.conf"
    path.write_text('[server]\nport = 3000\nlisten = "::1"\n[drivers]\nthreads = 8\n[drivers.kvm]\nuri = "test:///"\n')
    made = load(path, {"server": {"port": 3001}, "log": {"json": True}})
    assert (made.server.port, made.server.listen, made.log.json) == (3001, "::1", True)
    assert made.drivers == {"threads": 8, "kvm": {"uri": "test:///"}}


@pytest.mark.parametrize(("text", "says"), [
    ("[servre]\n", r"unknown section \[servre\]"),
    ("port = 1\n", r"unknown section \[port\]"),
    ("server = 1\n", r"server must be a section"),
    ("[server]\nprot = 1\n", r"unknown key server.prot, expected one of listen, port"),
    ('[server]\nport = "2633"\n', r"server.port must be of type int, not '2633'"),
    ("[server]\nport = true\n", r"server.port must be of type int"),
    ("[server]\nport = 0\n", r"server.port must be from 1 to 65535, not 0"),
    ("[server]\nport = 65536\n", r"server.port must be from 1 to 65535"),
    ("[log]\njson = 1\n", r"log.json must be of type bool"),
    ('[log]\nlevel = "loud"\n', r"log.level must be debug, info, warning or error, not 'loud'"),
    ("[deadlines]\ndeploy = 0\n", r"deadlines.deploy must be from 1"),
    ("[monitoring]\nhost_period = 0\n", r"monitoring.host_period must be from 1"),
    ("[retention]\nlog_days = -1\n", r"retention.log_days must be from 0"),
    ('[database]\nurl = "mysql://x"\n', r"database.url must be sqlite or postgresql://"),
    ('[defaults]\numask = "999"\n', r"defaults.umask must be three octal digits"),
    ('[defaults]\nmac_prefix = "02"\n', r"defaults.mac_prefix must be two bytes"),
    ('[defaults]\ndevice_prefix = "xd"\n', r"defaults.device_prefix must be hd, sd or vd"),
    ("[drivers]\nlane_with = 4\n", r"unknown key drivers.lane_with, expected one of lane_width"),
    ("[drivers]\nthreads = 0\n", r"drivers.threads must be from 1"),
    ('[drivers]\nstuck_after = "10"\n', r"drivers.stuck_after must be a number"),
    ("[server\n", r"oned.conf"),
], ids=lambda v: str(v).replace("\n", " ")[:30])
def test_errors_name_the_key(tmp_path: Path, text: str, says: str) -> None:
    """And the file."""
    path = tmp_path / "oned.conf"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        load(path)
    assert str(path) in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, or not UTF-8."""
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "none.conf")
    (tmp_path / "oned.conf").write_bytes(b'[log]\nlevel = "\xff"\n')
    with pytest.raises(ConfigError, match="oned.conf"):
        load(tmp_path / "oned.conf")


def test_what_is_checked_exists_and_defaults_pass() -> None:
    """No bound or form for a key that nobody has; the defaults are within them."""
    for key in (*BOUNDS, *FORMS):
        section, _, name = key.partition(".")
        assert hasattr(Config(), section) and (not name or hasattr(getattr(Config(), section), name)), key
    everything = {name: vars(getattr(Config(), name)) for name in vars(Config()) if name != "drivers"}
    assert parse(everything) == Config()
