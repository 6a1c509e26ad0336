"""The API table and the configuration are documented, whole, and say what they are."""
from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from typing import Any

from tree import ROOT

import onecore.kinds
from onecore import config
from onecore.api import TABLE
from onecore.auth.acl import RIGHTS
from onecore.kinds.kind import KINDS

LISTED = (ROOT / "tests/golden/methods.txt").read_text().split()


def test_no_method_is_missing_or_unlisted() -> None:
    """tests/golden/methods.txt is what clients may rely on."""
    assert sorted(TABLE) == sorted(LISTED) and onecore.kinds is not None


def test_our_own_methods_are_in_the_manual() -> None:
    """docs/api.md describes what OpenNebula does not have."""
    text = (ROOT / "docs/api.md").read_text()
    assert [name for name in TABLE if name.startswith("onecore.") and f"`{name}`" not in text] == []


def test_every_method_says_what_it_does() -> None:
    """In a sentence that ends as one."""
    assert [n for n, m in TABLE.items() if not re.search(r"[.!…]$", (m.call.__doc__ or "").strip())] == []


def test_every_method_on_an_object_names_a_right_and_a_kind() -> None:
    """Only what shows nothing of a single object may do without."""
    wrong = [name for name, m in TABLE.items() if m.on and (m.on not in KINDS or not m.right)]
    wrong += [name for name, m in TABLE.items() if isinstance(m.right, str) and m.right not in RIGHTS]
    assert wrong == []


# -- the configuration

CONF = (ROOT / "etc/oned.conf").read_text()


def _documented() -> dict[str, dict[str, str]]:
    """{section: {key: its comment}} of etc/oned.conf, and that the whole is valid TOML when uncommented."""
    found: dict[str, dict[str, str]] = {}
    section, comment = "", ""
    for line in CONF.splitlines():
        if match := re.fullmatch(r"\[([a-z.]+)\]", line):
            section, comment = match[1], ""
            found.setdefault(section, {})
        elif match := re.fullmatch(r"#([a-z_0-9]+) = (.*)", line):
            found[section][match[1]] = comment
            comment = ""
        elif line.startswith("# "):
            comment += line[2:] + " "
        else:
            assert line == "", f"neither a comment nor a commented-out default: {line}"
            comment = ""
    return found


def _uncommented() -> dict[str, dict[str, Any]]:
    return tomllib.loads("\n".join(re.sub(r"^#(?=[a-z])", "", line) for line in CONF.splitlines()))


def test_every_key_is_documented_with_its_default() -> None:
    """A sentence, then `#key = default`; no key that does not exist."""
    documented, defaults = _documented(), _uncommented()
    for section in fields(config.Config):
        if section.name == "drivers":
            continue
        expected = vars(getattr(config.Config(), section.name))
        assert defaults[section.name] == expected, section.name
        assert [k for k, said in documented[section.name].items() if not said.strip().endswith(".")] == []


def test_the_defaults_as_a_file_are_the_defaults() -> None:
    """oned starts with all of it uncommented, drivers' tables included."""
    made = config.parse({k: v for k, v in _uncommented().items() if k != "drivers"})
    assert made == config.Config()
    assert not any(config.parse(tomllib.loads(CONF)).drivers.values())
    assert {"dummy", "kvm"} <= set(config.parse(_uncommented()).drivers)


def test_drivers_understand_their_documented_settings() -> None:
    """The tables of [drivers] have the keys that the drivers read, with their own defaults."""
    from drivers.dummy.script import Script, parse_script
    from drivers.lanes import Limits
    drivers = _uncommented()["drivers"]
    assert parse_script(drivers["dummy"]) == Script()
    tops = {k: v for k, v in drivers.items() if not isinstance(v, dict)}
    assert Limits.of(tops) == Limits.of({})
    assert set(tops) == set(Limits.__dataclass_fields__) == set(config.LANES)
    assert set(drivers["kvm"]) == {"uri", "hypervisor", "migrate_uri"}
