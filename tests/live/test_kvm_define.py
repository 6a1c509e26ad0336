"""libvirt's QEMU driver takes every golden domain document that this machine's QEMU can be asked for."""
from __future__ import annotations

from pathlib import Path

import pytest
from kvm_ground import alone

pytestmark = pytest.mark.live
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "domain").glob("*.xml"))
UNSUPPORTED = ("unsupported configuration", "not supported", "does not support")


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_libvirt_takes_it(golden: Path) -> None:
    with alone(range(0)):  # another run of the tests has domains of these names
        _define(golden)


def _define(golden: Path) -> None:
    libvirt = pytest.importorskip("libvirt")
    connection = libvirt.open("qemu:///system")
    xml = golden.read_text().replace("<name>one-", "<name>golden-").replace("6f2f7a0e", "6f2f7a0f")
    try:
        domain = connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    except libvirt.libvirtError as error:
        if any(text in str(error) for text in UNSUPPORTED):
            pytest.skip(str(error))
        raise
    try:
        assert "urn:onecore:domain:1" in domain.XMLDesc()
    finally:
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        connection.close()
