"""System datastores over the API: who tells how full they are, and when their driver may change."""
from __future__ import annotations

import pytest
from cloud_process import Cloud, template, unique, until

from onecore.wire.client import ClientError


def system(cloud: Cloud, tm_mad: str) -> int:
    """A system datastore of its own."""
    return cloud.client.number("one.datastore.allocate", template(
        {"NAME": unique("system"), "TYPE": "SYSTEM_DS", "TM_MAD": tm_mad}), -1)


def total(cloud: Cloud, ds: int) -> int:
    return int(cloud.body("datastore", ds).findtext("TOTAL_MB", "-1"))


def test_of_storage_of_the_hosts_the_front_end_tells_no_size(cloud: Cloud) -> None:
    ds = system(cloud, "dummy")
    until(10, "the size of a shared datastore", lambda: total(cloud, ds) > 0)
    cloud.client.call("one.datastore.update", ds, "TM_MAD=ssh", 1)
    until(10, "no size of a datastore of the hosts", lambda: total(cloud, ds) == 0)
    found = {key: cloud.body("datastore", ds).findtext(f"TEMPLATE/{key}") for key in ("SHARED", "LN_TARGET")}
    assert found == {"SHARED": "NO", "LN_TARGET": "SYSTEM"}
    cloud.client.call("one.datastore.update", ds, "TM_MAD=shared", 1)
    until(10, "the size of a shared datastore again", lambda: total(cloud, ds) > 0)
    assert cloud.body("datastore", ds).findtext("TEMPLATE/SHARED") == "YES"
    cloud.client.call("one.datastore.delete", ds)


def test_the_driver_of_a_datastore_with_vms_stays(cloud: Cloud) -> None:
    ds, host = system(cloud, "dummy"), cloud.add_hosts(1)[0]
    vm = cloud.make_vm(unique("stays"), hold=True)
    cloud.deploy(vm, host, ds)
    with pytest.raises(ClientError, match=f"TM_MAD cannot change while VMs {vm} are on datastore {ds}"):
        cloud.client.call("one.datastore.update", ds, "TM_MAD=ssh", 1)
    cloud.client.call("one.datastore.update", ds, "TM_MAD=dummy\nNOTE=same", 1)
    cloud.client.call("one.vm.action", "terminate-hard", vm)
    cloud.wait_vm(vm, "DONE")
    cloud.client.call("one.datastore.update", ds, "TM_MAD=ssh", 1)
    assert cloud.body("datastore", ds).findtext("TM_MAD") == "ssh"
    cloud.client.call("one.datastore.delete", ds)
    cloud.client.call("one.host.delete", host)
