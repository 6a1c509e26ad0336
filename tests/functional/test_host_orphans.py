"""What is left on hosts: shown, told why, removed only when asked, and never what a VM may still need."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sim import Refused

from onecore.kinds.host.orphans import Judge, Past, findings
from onecore.kinds.host.record import Findings
from onecore.kinds.vm.commands import uuid_of
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.states import STATE_OF, S
from onecore.lifecycle.outbox import Owed
from onecore.wire.messages import Sample

if TYPE_CHECKING:
    from host_ground import HostGround

pytest_plugins = ["host_ground"]
OTHER = "11111111-1111-1111-1111-111111111111"


def names(found: dict[str, Any], kind: str = "zombies") -> dict[str, str]:
    """Name or path -> why it is kept."""
    return {one.get("path") or one["name"]: one.get("keep", "") for one in found[kind]}


def results(found: dict[str, Any]) -> dict[str, str]:
    """Name or path -> what became of it."""
    return {one.get("path") or one["name"]: one["result"] for one in found["items"]}


# -- what samples show

def test_zombies_and_wild_domains_in_the_body(cloud2: HostGround) -> None:
    """By name, as OpenNebula has them; nothing about them when there are none."""
    vm, gone = cloud2.vm(), cloud2.vm()
    cloud2.end(gone)
    assert cloud2.told("TOTAL_ZOMBIES") == cloud2.told("ZOMBIES") == cloud2.told("TOTAL_WILDS") == ""
    cloud2.script(wild={"node1": ["win", "mac"]})
    cloud2.guest(1, gone, 1)
    cloud2.guest(1, 4711)
    cloud2.sim.advance(15)
    assert (cloud2.told("TOTAL_ZOMBIES"), cloud2.told("ZOMBIES")) == ("1", f"one-{gone}")
    assert (cloud2.told("TOTAL_WILDS"), cloud2.told("WILDS")) == ("3", "mac, one-4711, win")
    assert cloud2.told("TOTAL_WILDS", 2) == "" and cloud2.sim.state(vm) == "RUNNING"


def test_the_numbers_of_a_vm_are_those_of_its_own_domain(cloud2: HostGround) -> None:
    """A zombie elsewhere does not mix into its samples."""
    vm = cloud2.vm(host=1)
    cloud2.guest(2, vm, 0)
    cloud2.sim.advance(15)
    assert cloud2.sim.core.kinds["samples"].vms[vm][1]["generation"] == 1
    assert cloud2.told("ZOMBIES", 2) == f"one-{vm}" and cloud2.told("ZOMBIES", 1) == ""


def test_what_just_changed_is_not_judged(cloud2: HostGround) -> None:
    """The answer of a host may be older than the change."""
    vm = cloud2.vm()
    cloud2.sim.call("one.vm.action", "terminate-hard", vm)
    cloud2.sim.wait(vm, "DONE")
    cloud2.guest(1, vm)
    cloud2.lay(1, f"dirs/0-{vm}")
    cloud2.lay(1, f"taps/one-{vm}-0")
    found = cloud2.ask("orphans")
    assert found["asked"] and [found[kind] for kind in ("zombies", "files", "taps")] == [[], [], []]
    cloud2.sim.advance(12)
    found = cloud2.ask("orphans")
    assert [len(found[kind]) for kind in ("zombies", "files", "taps")] == [1, 1, 1]


# -- asking

def test_orphans(cloud2: HostGround) -> None:
    """Each kind with its reason."""
    cloud2.vm()
    gone = cloud2.vm()
    cloud2.end(gone)
    cloud2.script(wild={"node1": ["win"]})
    cloud2.guest(1, gone)
    cloud2.lay(1, f"dirs/0-{gone}", "56")
    cloud2.lay(1, f"taps/one-{gone}-0")
    cloud2.lay(1, "taps/vnet7")
    found = cloud2.ask("orphans")
    assert (found["host"], found["asked"], found["error"]) == (cloud2.ids[0], True, "")
    assert found["wild"] == [{"name": "win", "id": -1, "generation": -1, "state": "running",
                              "why": "not of this cloud"}]
    why = f"VM {gone} is DONE"
    assert found["zombies"] == [{"name": f"one-{gone}", "id": gone, "generation": 1, "state": "running", "keep": "",
                                 "why": why}]
    assert [(f["ds"], f["vm"], f["size_mb"], f["keep"], f["why"]) for f in found["files"]] == [(0, gone, 56, "", why)]
    assert found["taps"][0] == {"name": f"one-{gone}-0", "vm": gone, "keep": "", "why": why}
    assert "does not say that it is of this cloud" in found["taps"][1]["keep"]


def test_a_host_that_does_not_answer(cloud2: HostGround) -> None:
    """What its last sample shows, why there is no more, and in time; OFFLINE is not asked; no sample at all is fine."""
    sim = cloud2.sim
    cloud2.script({"action": "im.survey", "hang": True}, wild={"node1": ["win"]})
    sim.advance(12)
    begun = sim.clock.monotonic()
    found = cloud2.ask("orphans", 8)
    assert sim.clock.monotonic() - begun < 8.5
    assert not found["asked"] and "8 s" in found["error"] and 0 <= sim.core.now() - found["time"] < 25
    assert list(names(found, "wild")) == ["win"] and found["files"] == []
    sim.call("one.host.status", cloud2.ids[0], 2)
    sent = len(cloud2.sent("survey"))
    found = cloud2.ask("orphans")
    assert "OFFLINE" in found["error"] and found["wild"] == [] and len(cloud2.sent("survey")) == sent
    for seconds in (0, 46):
        with pytest.raises(Refused, match="from 1 to 45"):
            sim.call("onecore.host.orphans", cloud2.ids[0], seconds)


# -- reconcile

def laid(ground: HostGround) -> int:
    """A VM that is DONE and of which everything was left on node1, beside a live one and what is wild."""
    ground.vm()
    gone = ground.vm()
    ground.end(gone)
    ground.script(wild={"node1": ["win"]})
    ground.guest(1, gone)
    ground.guest(1, 4711)
    for path in (f"dirs/0-{gone}", "dirs/0-4711", f"taps/one-{gone}-0", "taps/vnet7", "taps/one-4711-0"):
        ground.lay(1, path)
    return gone


def test_a_dry_run_removes_nothing(cloud2: HostGround) -> None:
    """It is also what is done when nobody says otherwise."""
    gone = laid(cloud2)
    given = cloud2.sim.core.store.given
    for arguments in ((), (True,)):
        found = cloud2.ask("reconcile", *arguments)
        assert found["dry_run"] and results(found)[f"one-{gone}"] == "would be removed"
    assert cloud2.lies(1, str(gone)) and cloud2.lies(1, f"dirs/0-{gone}") and cloud2.lies(1, f"taps/one-{gone}-0")
    assert cloud2.sim.core.store.given == given and not cloud2.sent("cleanup")


def test_reconcile(cloud2: HostGround) -> None:
    """Guest, files and tap of the VM that is DONE go; what is wild, unknown or unclear stays; all logs say so."""
    gone = laid(cloud2)
    found = cloud2.ask("reconcile", False)
    base = f"{cloud2.sim.home}/datastores/0"
    assert results(found) == {"win": "kept", f"one-{gone}": "removed", "one-4711": "kept", f"{base}/{gone}": "removed",
                              f"{base}/4711": "kept", f"one-{gone}-0": "removed", "vnet7": "kept", "one-4711-0": "kept"}
    left = ("0", "4711", "dirs/0-4711", "taps/vnet7", "taps/one-4711-0")
    assert all(cloud2.lies(1, path) for path in left)
    assert not any(cloud2.lies(1, path) for path in (str(gone), f"dirs/0-{gone}", f"taps/one-{gone}-0"))
    assert cloud2.sim.state(0) == "RUNNING"
    log = cloud2.log()
    assert f"zombie one-{gone} on host {cloud2.ids[0]} (node1; VM {gone} is DONE) was removed" in log
    assert "was removed by user 0" in (cloud2.sim.home / "log" / "vm" / f"{gone}.log").read_text()
    rows = [(old, method) for what, old, _, keys, method in cloud2.rows() if keys == "RECONCILED"]
    assert sorted(rows) == sorted((f"{kind} {name}", "onecore.host.reconcile") for kind, name in (
        ("zombie", f"one-{gone}"), ("file", f"{base}/{gone}"), ("tap", f"one-{gone}-0")))
    assert set(results(cloud2.ask("reconcile", False)).values()) == {"kept"}


def test_what_is_asked_of_drivers(cloud2: HostGround) -> None:
    """The zombie's own generation, an order after all that was done for the VM, the files of that host alone."""
    gone = laid(cloud2)
    last = max(c.op for c in cloud2.sim.transport.sent if c.object == ("vm", gone))
    cloud2.ask("reconcile", False)
    (cleanup,), (delete,) = cloud2.sent("cleanup"), cloud2.sent("delete")
    assert cleanup.args["vm"]["generation"] == 1 and cleanup.args["vm"]["id"] == gone
    for command in (cleanup, delete):
        assert -command.op > last and command.generation > 1, "no fence refuses it as older"
    assert delete.args["left_over"] and delete.args["datastore"]["id"] == 0
    assert delete.args["vm"]["dir"].endswith(f"/datastores/0/{gone}") and not delete.args["vm"]["away"]


def test_a_removal_that_fails(cloud2: HostGround) -> None:
    """It is told; files and taps of a guest that could not be ended stay, those of other VMs go."""
    gone, other = laid(cloud2), cloud2.vm()
    cloud2.end(other)
    cloud2.lay(1, f"taps/one-{other}-0")
    cloud2.script({"action": "vm.cleanup", "fail": "libvirt is away"})
    found = cloud2.ask("reconcile", False)
    became = results(found)
    assert became[f"one-{gone}"] == "failed" and became[f"one-{other}-0"] == "removed"
    assert became[f"{cloud2.sim.home}/datastores/0/{gone}"] == became[f"one-{gone}-0"] == "kept"
    assert [one["error"] for one in found["items"] if one["result"] == "failed"] == ["libvirt is away"]
    assert not cloud2.sent("delete") and cloud2.lies(1, f"dirs/0-{gone}")
    assert "could not be removed: libvirt is away" in cloud2.log()
    assert not any("zombie" in old for _, old, *_ in cloud2.rows())


def test_a_guest_goes_before_its_files(cloud2: HostGround) -> None:
    """One after the other: fences order what is done for one VM, and a guest keeps what it uses."""
    gone = laid(cloud2)
    cloud2.script({"action": "vm.cleanup", "delay": 3})
    sim = cloud2.sim
    pending = sim.begin("onecore.host.reconcile", cloud2.ids[0], False)
    sim.advance(2)
    assert cloud2.sent("cleanup") and not cloud2.sent("delete") and not cloud2.sent("untap")
    sim.until(lambda: pending.answered)
    assert cloud2.sent("cleanup")[0].op > cloud2.sent("delete")[0].op, "both count down: the later is ordered later"
    assert not cloud2.lies(1, f"dirs/0-{gone}")


def test_files_that_a_guest_may_use(cloud2: HostGround) -> None:
    """Another cloud's guest with the same id on this host; on shared storage also a guest that another host has."""
    sim, gone = cloud2.sim, cloud2.vm()
    cloud2.end(gone)
    core, doc = sim.core, {"ds": 0, "vm": gone, "path": "/p", "size_mb": 1}

    def kept(*domains: dict[str, Any]) -> str:
        judge = Judge(core, cloud2.host(1), core.now(), domains=domains)
        found, tap = judge.directory(doc), judge.tap(f"one-{gone}-0")
        assert found is not None and tap is not None and bool(tap.keep) <= bool(found.keep)
        return found.keep
    guest = {"name": f"one-{gone}", "id": gone, "generation": 1, "state": "running"}
    assert kept() == "" and kept(guest) == "", "its own guest is ended first"
    assert kept({**guest, "uuid": OTHER}) == kept({**guest, "id": -1}) == f"a guest one-{gone} is on this host"
    cloud2.guest(2, gone)
    sim.advance(15)
    assert kept() == f"host {cloud2.ids[1]} still has a guest of it"


def test_a_host_that_does_not_tell_keeps_all(cloud2: HostGround) -> None:
    """Nothing is removed by an old sample."""
    laid(cloud2)
    cloud2.script({"action": "im.survey", "fail": "libvirt does not answer"})
    with pytest.raises(Refused, match="did not tell what is there: libvirt does not answer"):
        cloud2.sim.call("onecore.host.reconcile", cloud2.ids[0], False)
    assert not cloud2.sent("cleanup") and not cloud2.sent("delete")


def test_one_at_a_time(cloud2: HostGround) -> None:
    """A second one on the same host is refused; on another it is not."""
    laid(cloud2)
    cloud2.script({"action": "vm.cleanup", "delay": 5})
    sim, host = cloud2.sim, cloud2.ids[0]
    first = sim.begin("onecore.host.reconcile", host, False)
    sim.advance(1)
    with pytest.raises(Refused, match="is being reconciled already"):
        sim.call("onecore.host.reconcile", host, True)
    assert cloud2.ask("reconcile", False, host=2)["items"] == []
    sim.until(lambda: first.answered)
    assert "removed" in results(json.loads(first.value())).values()


def test_what_changes_meanwhile_is_kept(cloud2: HostGround) -> None:
    """The verdict is made again when the command goes out: the VM came to the host while others were removed."""
    sim, ends = cloud2.sim, [cloud2.vm() for _ in range(4)]
    for one in ends:
        cloud2.end(one)
        cloud2.guest(1, one)
    vm = cloud2.vm(host=2)
    sim.call("one.vm.action", "undeploy-hard", vm)
    sim.wait(vm, "UNDEPLOYED")
    sim.advance(20)
    cloud2.guest(1, vm)
    cloud2.script({"action": "vm.cleanup", "delay": 5})
    pending = sim.begin("onecore.host.reconcile", cloud2.ids[0], False)
    sim.advance(2)
    sim.call("one.vm.action", "resume", vm)
    sim.until(lambda: pending.answered)
    found = results(json.loads(pending.value()))
    assert found.pop(f"one-{vm}") == "kept" and set(found.values()) == {"removed"}
    assert sim.guests("node1") == [vm]


# -- whose files are whose

def test_files_on_shared_storage(cloud2: HostGround) -> None:
    """They belong to the VM wherever it is, or is not."""
    sim, vm = cloud2.sim, cloud2.vm(host=2)
    cloud2.lay(1, f"dirs/0-{vm}")
    sim.advance(20)
    assert cloud2.ask("orphans")["files"] == []
    sim.call("one.vm.action", "undeploy-hard", vm)
    sim.wait(vm, "UNDEPLOYED")
    sim.advance(20)
    assert cloud2.ask("orphans")["files"] == []
    sim.call("one.vm.recover", vm, 3)
    sim.wait(vm, "DONE")
    cloud2.lay(1, f"dirs/0-{vm}")
    sim.advance(20)
    assert list(names(cloud2.ask("orphans"), "files").values()) == [""]


def test_files_on_a_hosts_own_storage(cloud2: HostGround) -> None:
    """Of no use once the VM runs elsewhere for certain; kept while it might start from them."""
    sim, store = cloud2.sim, cloud2.own_store()
    vm = cloud2.vm(host=2, store=store)
    path = f"{sim.home}/datastores/{store}/{vm}"
    for host in (1, 2):
        cloud2.lay(host, f"dirs/{store}-{vm}")
    sim.advance(20)
    assert names(cloud2.ask("orphans"), "files") == {path: ""}
    assert cloud2.ask("orphans", host=2)["files"] == []
    sim.call("one.vm.action", "undeploy-hard", vm)
    sim.wait(vm, "UNDEPLOYED")
    sim.advance(20)
    cloud2.lay(2, f"dirs/{store}-{vm}")
    for host in (1, 2):
        assert "may start from it again" in names(cloud2.ask("orphans", host=host), "files")[path]
        assert results(cloud2.ask("reconcile", False, host=host)) == {path: "kept"}
    assert cloud2.lies(1, f"dirs/{store}-{vm}") and cloud2.lies(2, f"dirs/{store}-{vm}")


def test_the_only_copy_is_kept(cloud2: HostGround) -> None:
    """The host where the VM should be does not answer: what is here may be the last of it."""
    sim, store = cloud2.sim, cloud2.own_store()
    vm = cloud2.vm(host=2, store=store)
    cloud2.guest(1, vm)
    cloud2.lay(1, f"dirs/{store}-{vm}")
    sim.advance(20)
    assert set(results(cloud2.ask("reconcile")).values()) == {"would be removed"}
    cloud2.script({"action": "im.sample", "host": "node2", "hang": True})
    sim.until(lambda: cloud2.state(2) == "ERROR", what="node2 to be ERROR")
    assert cloud2.ask("reconcile", False)["items"] == [], "it became UNKNOWN just now"
    sim.advance(15)
    found = cloud2.ask("reconcile", False)
    assert set(results(found).values()) == {"kept"}
    assert all("cannot be asked" in one["keep"] for one in found["items"])
    assert cloud2.lies(1, str(vm)) and cloud2.lies(1, f"dirs/{store}-{vm}")


def test_a_guest_of_a_vm_that_runs_elsewhere(cloud2: HostGround) -> None:
    """The old copy goes, the VM does not notice."""
    sim, vm = cloud2.sim, cloud2.vm(host=2)
    cloud2.guest(1, vm, 0)
    sim.advance(20)
    assert results(cloud2.ask("reconcile", False)) == {f"one-{vm}": "removed"}
    assert sim.guests("node1") == [] and sim.guests("node2") == [vm]
    sim.advance(20)
    assert sim.state(vm) == "RUNNING" and sim.vm(vm).hid == cloud2.ids[1]
    sim.call("one.vm.action", "poweroff-hard", vm)
    sim.wait(vm, "POWEROFF")
    assert sim.guests("node2") == [], "the fence lets the VM's next operation through"


def test_a_guest_that_does_not_run_where_it_should(cloud2: HostGround) -> None:
    """Its host says that it runs nowhere there: the one here may be the VM."""
    sim, vm = cloud2.sim, cloud2.vm(host=2)
    cloud2.guest(1, vm)
    cloud2.guest(2, vm, 7)
    sim.advance(20)
    assert sim.state(vm) == "RUNNING"
    assert "does not confirm" in names(cloud2.ask("orphans"))[f"one-{vm}"]


def test_what_is_owed_is_left_to_its_payment(cloud2: HostGround) -> None:
    """It is shown, and reconcile does not get in the way."""
    sim, vm = cloud2.sim, cloud2.vm()
    cloud2.end(vm)
    cloud2.guest(1, vm)
    cloud2.lay(1, f"dirs/0-{vm}")
    cloud2.script({"action": "vm.cleanup", "fail": "away"})
    cloud2.put(Owed(cloud2.ids[0], vm, 1, 0, sim.core.now(), 1))
    found = cloud2.ask("reconcile", False)
    assert set(results(found).values()) == {"kept"} and all("owes" in one["keep"] for one in found["items"])


# -- every state

def _case(ground: HostGround, state: S, hid: int, op: int = 0, generation: int = 1) -> dict[str, str | None]:
    """How a guest, a directory and a tap of VM 0 in STATE on HID are judged on node1: why kept, None: no orphans."""
    vm = ground.sim.get(Vm, 0)
    ground.put(replace(vm, state=state.value[0], lcm=state.value[1], hid=hid, changed=1, op=op, generation=generation))
    judge = Judge(ground.sim.core, ground.host(1), ground.sim.core.now(), Past({}))
    found = {"guest": judge.domain({"id": 0, "generation": 1, "state": "running"}),
             "files": judge.directory({"ds": vm.ds_id, "vm": 0, "path": "/p", "size_mb": 1}),
             "tap": judge.tap("one-0-0")}
    return {name: one and one.keep for name, one in found.items()}


def test_in_every_state(cloud2: HostGround) -> None:
    """With an operation under way nothing is removable; nor is anything where the VM is, nor files of a VM nowhere."""
    cloud2.vm(host=2, store=cloud2.own_store())
    cloud2.sim.advance(12)
    node1, node2 = cloud2.ids
    for state in (s for s in STATE_OF.values() if s is not S.DONE):
        here = _case(cloud2, state, node1)
        assert here["guest"] is None and here["files"] is None, state
        assert set(_case(cloud2, state, node1, op=5).values()) == {None}, state
        for hid in (node2, -1):
            assert "" not in _case(cloud2, state, hid, op=5).values(), state
        nowhere = _case(cloud2, state, -1)
        assert nowhere["files"] and nowhere["guest"] == "", f"{state}: it may start from its files, and runs nowhere"
        elsewhere = _case(cloud2, state, node2)
        certain = state in (S.RUNNING, S.POWEROFF, S.SUSPENDED)
        assert (elsewhere["guest"] == "") == (elsewhere["files"] == "") == certain, (state, elsewhere)
        for hid in (node1, node2, -1):
            assert _case(cloud2, state, hid, generation=0)["guest"], f"{state}: the host knows more than the database"


def test_domains_of_other_clouds(cloud2: HostGround) -> None:
    """Ids are the same in every cloud; UUIDs are not."""
    vm = cloud2.vm()
    core = cloud2.sim.core
    judge = Judge(core, cloud2.host(1), core.now() + 60, Past({}))
    own = {"id": vm, "generation": 1, "state": "running", "uuid": uuid_of(core, vm)}
    assert judge.domain(own) is None
    found = judge.domain({**own, "uuid": OTHER})
    assert found is not None and found.kind == "wild" and "of another cloud" in found.why
    sample = Sample(cloud2.ids[0], core.now() + 60, vms=[{**own, "uuid": OTHER, "state": "suspended"}])
    assert findings(core, cloud2.host(1), sample).wild == (f"one-{vm}",)
    assert findings(core, cloud2.host(1), replace(sample, vms=[own])) == Findings()
    cloud2.sim._inside(lambda: core.kinds["vm.roster"](cloud2.host(1), sample))
    assert cloud2.sim.state(vm) == "POWEROFF", "what is there under its name is not the VM"


def test_a_vm_may_have_the_uuid_that_its_template_asks_for(cloud2: HostGround) -> None:
    vm = cloud2.vm(more=f'OS=[UUID="{OTHER.upper()}"]')
    core = cloud2.sim.core
    doc = {"id": vm, "generation": 1, "state": "running", "uuid": OTHER}
    sample = Sample(cloud2.ids[0], core.now() + 60, vms=[doc])
    assert Judge(core, cloud2.host(1), core.now() + 60, Past({})).domain(doc) is None
    assert findings(core, cloud2.host(1), sample) == Findings()
    cloud2.sim._inside(lambda: core.kinds["vm.roster"](cloud2.host(1), sample))
    assert cloud2.sim.state(vm) == "RUNNING"
    stranger = {**doc, "uuid": OTHER.replace("1", "2")}
    assert findings(core, cloud2.host(1), replace(sample, vms=[stranger])).wild == (f"one-{vm}",)


def test_vms_of_which_there_is_no_record(cloud2: HostGround) -> None:
    """Ids that a restored database leaves out, and those that were never given, are wild; their files are kept."""
    vm = cloud2.vm()
    cloud2.end(vm)
    core = cloud2.sim.core
    done = cloud2.sim.database.select(Vm, "oid = :oid", {"oid": vm})[0]
    core.kinds["vm"].gone._kept.clear()
    doc = {"id": vm, "generation": 1, "state": "running"}

    def kind(past: Past) -> str:
        found = Judge(core, cloud2.host(1), core.now(), past).domain(doc)
        assert found is not None
        return found.kind
    assert kind(Past({vm: done})) == "zombie"
    assert kind(Past({})) == "wild" and kind(Past({}, complete=False)) == "zombie"
    core.kinds["vm.gaps"] = [(vm, vm + 10)]
    assert kind(Past({}, complete=False)) == "wild"
    files = Judge(core, cloud2.host(1), core.now(), Past({})).directory({"ds": 0, "vm": vm, "path": "/p"})
    assert files is not None and "never heard" in files.keep
