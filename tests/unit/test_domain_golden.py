"""Domain documents against golden files: tests/golden/domain/NAME.json is the VM, NAME.xml what libvirt is to get.

`UPDATE_GOLDEN=1 pytest tests/unit/test_domain_golden.py` writes the XML files anew; look at the difference.
"""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from lxml import etree

from drivers.vm.domain import ELEMENTS, Facts, document
from drivers.vm.domain.element import Build, text

GOLDEN = Path(__file__).parent.parent / "golden" / "domain"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


def made(name: str) -> Build:
    """The document of a case."""
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    return document(case["vm"], Facts(**case["facts"]))


@pytest.mark.parametrize("name", CASES)
def test_the_document_is_the_golden_one(name: str) -> None:
    golden, found = GOLDEN / f"{name}.xml", text(made(name))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("name", CASES)
def test_libvirts_schema_takes_the_document(name: str) -> None:
    if not SCHEMA.exists():
        pytest.skip(f"no {SCHEMA} on this machine")
    schema = etree.RelaxNG(etree.parse(str(SCHEMA)))
    schema.assertValid(etree.fromstring(text(made(name)).encode()))


def test_every_declared_property_is_in_a_golden_file() -> None:
    declared = {(element.at, each.path) for element in ELEMENTS for each in element.properties}
    used = {found for name in CASES for found in made(name).used}
    assert sorted(declared - used) == []


def test_every_golden_document_has_its_vm() -> None:
    assert {path.stem for path in GOLDEN.glob("*.xml")} == set(CASES)
