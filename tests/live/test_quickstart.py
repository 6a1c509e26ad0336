"""quickstart.sh from beginning to end: with a real guest (root, libvirt, QEMU), and on simulated hosts without."""
from __future__ import annotations

from pathlib import Path

import pytest
from quickstart_ground import BRIDGE, address_in, domains, facts, needs_venv, quickstart, within

pytestmark = needs_venv


def test_simulated_hosts(tmp_path: Path) -> None:
    with quickstart(tmp_path / "home", dummy=True) as cloud:
        assert "RUNNING" in cloud.run()
        assert "RUNNING" in cloud.run()
        assert cloud.one("onevm", "list", "--no-header", "-l", "NAME,STAT").split() == ["quickstart", "runn"]
        cloud.one("onetemplate", "instantiate", "quickstart", "--hold", "--name", "mine")
        said = cloud.run("--down")
        assert "VMs of your own stay as they are: 1 (mine, hold).  ./quickstart.sh --" in said
        assert "--down" not in said and "all but what is named" in said
        assert cloud.daemons() == []


@pytest.mark.live
def test_a_real_guest_answers_with_the_address_and_name_of_its_context(tmp_path: Path) -> None:
    with quickstart(tmp_path / "home") as cloud:
        address = address_in(cloud.run())
        within(180, lambda: facts(address), f"the guest's page at {address}")
        found = facts(address)
        assert found["hostname"] == "quickstart" and f"eth0:{address}/24" in found["addresses"]
        assert address_in(cloud.run()) == address
        domain = cloud.show("quickstart")["DEPLOY_ID"]
        assert domain in domains()
        cloud.run("--down")
        assert cloud.daemons() == [] and not BRIDGE.exists() and domain not in domains()
        assert [path for path in (cloud.home / "datastores/0").glob("*") if path.is_dir()] == []
