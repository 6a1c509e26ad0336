"""Samples of domains from libvirt's counters."""
from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("libvirt")

from drivers.im.guests import CpuUse, disk_sizes, sample
from drivers.vm.stats import Domain, machines, version


def domain(run: int = 1, **stats: Any) -> Domain:
    return Domain("one-4", run, 4, 9, {name.replace("_", "."): value for name, value in stats.items()})


def test_cpu_is_percent_of_a_core_since_the_sample_before() -> None:
    use = CpuUse()
    assert use.percent([domain(cpu_time=5_000_000_000)], 100.0) == {"one-4": 0.0}
    assert use.percent([domain(cpu_time=8_000_000_000)], 102.0) == {"one-4": 150.0}


def test_a_new_run_of_a_domain_starts_from_nothing() -> None:
    use = CpuUse()
    use.percent([domain(cpu_time=5_000_000_000)], 100.0)
    assert use.percent([domain(run=2, cpu_time=6_000_000_000)], 101.0) == {"one-4": 0.0}


def test_counters_are_summed_over_devices() -> None:
    stats = {"state.state": 1, "balloon.current": 9, "balloon.rss": 187108, "net.count": 2, "net.0.rx.bytes": 1,
             "net.1.rx.bytes": 2, "net.0.tx.bytes": 4, "block.count": 2, "block.0.rd.bytes": 10, "block.1.rd.bytes": 20,
             "block.0.wr.bytes": 5, "block.0.rd.reqs": 3, "block.1.wr.reqs": 6}
    found = sample(Domain("one-4", 1, 4, 9, stats), 12.5)
    assert found == {"id": 4, "generation": 9, "deploy_id": "one-4", "state": "running", "cpu": 12.5,
                     "memory_kb": 187108, "netrx": 3, "nettx": 4, "diskrdbytes": 30, "diskwrbytes": 5, "diskrdiops": 3,
                     "diskwriops": 6, "disk_size": []}


def test_a_paused_guest_is_suspended() -> None:
    assert sample(domain(state_state=3), 0)["state"] == "suspended"


def test_disks_are_known_by_their_number_and_others_left_out() -> None:
    assert disk_sizes({"block.count": 3, "block.0.path": "/ds/0/4/disk.2", "block.0.physical": 1048577,
                       "block.1.path": "/iso/cd.iso", "block.1.physical": 5, "block.2.physical": 5}) == [
        {"id": 2, "size_mb": 2}]


def test_capabilities_give_the_machines_of_one_architecture() -> None:
    xml = ("<capabilities><guest><arch name='i686'><machine>isapc</machine></arch></guest><guest>"
           "<arch name='x86_64'><machine>q35</machine><machine>pc</machine>"
           "<domain type='kvm'><machine>q35</machine></domain></arch></guest></capabilities>")
    assert machines(xml, "x86_64") == ("pc", "q35")
    assert version(7002022) == "7.2.22"
