"""Commands in guests: given once, beside whatever the VM does; ended, failed, cancelled, lost, and told so."""
from __future__ import annotations

import base64

import pytest
from api_calls import ACTION, AUTHORIZATION, RPC_API, refused
from change_ground import make, tree
from cloud_process import Cloud, until
from makers import MakeCloud, MakeGround
from sim import Crash, Refused, Sim
from sim_ground import Ground
from sim_points import BOTH, CORE, Strike
from xsd import validate

pytestmark = pytest.mark.surface


def last(sim: Sim, vm: int) -> dict[str, str]:
    """QEMU_GA_EXEC, its outputs decoded; empty when there is none."""
    found = dict(tree(sim, vm).vector("QEMU_GA_EXEC") or {})
    return {key: base64.b64decode(value).decode() if key.startswith("STD") and key != "STDIN" else value
            for key, value in found.items()}


def sent(sim: Sim) -> list[str]:
    """The commands that drivers were given to run in guests."""
    return [command.args["command"] for command in sim.transport.sent if command.action == "exec"]


def run(ground: Ground, vm: int, command: str, stdin: str = "") -> None:
    """Ask for it."""
    ground.sim.call("one.vm.exec", vm, command, stdin)


def over(ground: Ground, vm: int) -> dict[str, str]:
    """What became of it."""
    ground.sim.until(lambda: last(ground.sim, vm)["STATUS"] != "RUNNING", what="the command's end")
    return last(ground.sim, vm)


def test_a_command_ends(ground: Ground) -> None:
    """With its output and code; the VM is RUNNING all the time, and nobody else waits behind it."""
    ground.script(delay={"vm.exec": 5})
    sim, vm = ground.sim, make(ground)
    before = sim.vm(vm)
    run(ground, vm, "hello", "input")
    assert last(sim, vm) == {"COMMAND": "hello", "STATUS": "RUNNING", "STDIN": "input"}
    assert over(ground, vm) == {"COMMAND": "hello", "PID": "1", "RETURN_CODE": "0", "STATUS": "DONE", "STDERR": "",
                                "STDIN": "input", "STDOUT": "hello\ninput"}
    run(ground, vm, "exit 3")
    assert over(ground, vm)["RETURN_CODE"] == "3" and last(sim, vm)["STATUS"] == "DONE"
    assert sim.vm(vm) == before
    lanes = {command.lane for command in sim.transport.sent if command.action == "exec"}
    assert lanes == {"exec:node1"}


def test_one_at_a_time(ground: Ground) -> None:
    """A second one is refused while the first runs; the last one can be run again."""
    ground.script(delay={"vm.exec": 5})
    sim, vm = ground.sim, make(ground)
    for method in ("retryexec", "cancelexec"):
        with pytest.raises(Refused, match="no command yet"):
            sim.call(f"one.vm.{method}", vm)
    run(ground, vm, "first", "in")
    for method, *more in (("exec", "second", ""), ("retryexec",)):
        with pytest.raises(Refused, match="runs in VM"):
            sim.call(f"one.vm.{method}", vm, *more)
    over(ground, vm)
    sim.call("one.vm.retryexec", vm)
    assert over(ground, vm)["STDOUT"] == "first\nin" and sent(sim) == ["first", "first"]
    with pytest.raises(Refused, match="no command runs"):
        sim.call("one.vm.cancelexec", vm)


def test_a_command_that_cannot_be_given(ground: Ground) -> None:
    """The agent says no: ERROR, and what it said."""
    ground.script(rules=[{"action": "vm.exec", "fail": "no agent"}])
    vm = make(ground)
    run(ground, vm, "hello")
    found = over(ground, vm)
    assert (found["STATUS"], found["STDERR"]) == ("ERROR", "no agent") and "RETURN_CODE" not in found
    assert ground.sim.vm(vm).error == ""


@pytest.mark.parametrize("deaf", [False, True])
def test_cancelled(make_ground: MakeGround, deaf: bool) -> None:
    """Whether the driver hears of it or not."""
    ground = make_ground(grace=10)
    ground.script(rules=[{"action": "vm.exec", "hang": True, "times": 1}])
    sim, vm = ground.sim, make(ground)
    sim.transport.deaf = lambda command: deaf and command.action == "exec"
    run(ground, vm, "sleep")
    sim.advance(5)
    sim.call("one.vm.cancelexec", vm)
    assert over(ground, vm)["STATUS"] == "CANCELLED"
    sim.transport.deaf = lambda command: False
    run(ground, vm, "again")
    assert over(ground, vm)["STATUS"] == "DONE"


def test_it_takes_too_long(make_ground: MakeGround) -> None:
    """Its deadline."""
    ground = make_ground(exec=30)
    ground.script(rules=[{"action": "vm.exec", "hang": True}])
    vm = make(ground)
    run(ground, vm, "sleep")
    found = over(ground, vm)
    assert (found["STATUS"], found["STDERR"]) == ("ERROR", "no answer within 30 s")


def test_the_vm_goes_its_way(ground: Ground) -> None:
    """Powered off, resumed, terminated while a command runs: the VM does not wait, the command's end is told."""
    ground.script(rules=[{"action": "vm.exec", "delay": 30}])
    sim, vm = ground.sim, make(ground)
    run(ground, vm, "slow")
    ground.act(vm, "poweroff")
    sim.wait(vm, "POWEROFF", limit=5)
    assert over(ground, vm)["STATUS"] == "ERROR"
    with pytest.raises(Refused, match="POWEROFF"):
        run(ground, vm, "off")
    ground.act(vm, "resume")
    sim.wait(vm, "RUNNING")
    run(ground, vm, "slow")
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE", limit=5)
    sim.advance(60)
    ground.assert_nothing_left()


def test_the_driver_ends(ground: Ground) -> None:
    """Nobody knows how far it came: it is not begun again."""
    ground.script(delay={"vm.exec": 30})
    sim, vm = ground.sim, make(ground)
    run(ground, vm, "slow")
    sim.advance(2)
    sim.transport.kill("vm")
    found = over(ground, vm)
    assert found["STATUS"] == "ERROR" and "started again" in found["STDERR"] and sent(sim) == ["slow"]


@pytest.mark.parametrize("who", [CORE, BOTH])
@pytest.mark.parametrize("nth", range(1, 4))
def test_oned_ends(make_ground: MakeGround, nth: int, who: str) -> None:
    """After each commit: given once or never, and lost if it ran, which the next core tells."""
    ground = make_ground(nth)
    ground.script(delay={"vm.exec": 3})
    sim, vm = ground.sim, make(ground)
    sim.points.arm([Strike("commit.after", nth, who)])
    try:
        run(ground, vm, "once")
        over(ground, vm)
        sim.advance(5)
    except Crash:
        before = sent(sim)
        sim.reboot()
        sim.ready()
        found = over(ground, vm)
        assert (found["STATUS"], len(before) + len(sent(sim))) in (("ERROR", 0), ("ERROR", 1), ("DONE", 1))
        assert found["STATUS"] == "DONE" or "started anew" in found["STDERR"]
    sim.points.arm()
    sim.until(lambda: sim.host_state(ground.host) == "MONITORED")
    sim.call("one.vm.retryexec", vm)
    assert over(ground, vm)["STATUS"] == "DONE"


def test_a_result_that_cannot_be_stored_at_once(ground: Ground) -> None:
    """It is kept until it can be."""
    ground.script(delay={"vm.exec": 3})
    sim, vm = ground.sim, make(ground)
    run(ground, vm, "hello")
    sim.core.store.refuses = "nothing can be stored at the moment: disk full"
    sim.advance(20)
    assert last(sim, vm)["STATUS"] == "RUNNING"
    sim.core.store.refuses = ""
    assert over(ground, vm)["STATUS"] == "DONE"


def test_a_commit_that_fails(ground: Ground) -> None:
    """The call is answered with an error: the command is never given."""
    sim, vm = ground.sim, make(ground)
    sim.writer.fail_next = OSError("disk full")
    with pytest.raises(Refused):
        run(ground, vm, "never")
    sim.advance(10)
    assert sent(sim) == [] and last(sim, vm) == {}
    run(ground, vm, "then")
    assert over(ground, vm)["STATUS"] == "DONE" and sent(sim) == ["then"]


def test_long_output(ground: Ground) -> None:
    """Is cut, and says so."""
    vm = make(ground)
    run(ground, vm, "x" * 60000, "y" * 60000)
    found = over(ground, vm)["STDOUT"]
    assert len(found) < 70000 and found.endswith("[54465 more bytes are left out]\n")


def test_over_the_api(cloud: Cloud) -> None:
    """As the schema has it, while it runs and after it; for those who manage the VM; what is no command."""
    host = cloud.add_hosts(1)[0]
    vm = cloud.make_vm(DUMMY={"ACTION": "vm.exec", "DELAY": "0.3"})
    cloud.deploy(vm, host)
    cloud.client.call("one.vm.exec", vm, "hello")
    validate("vm", cloud.client.text("one.vm.info", vm))
    until(5, "its end", lambda: cloud.body("vm", vm).findtext("TEMPLATE/QEMU_GA_EXEC/STATUS") == "DONE")
    validate("vm", cloud.client.text("one.vm.info", vm))
    for command, stdin, said in (("", "", "command"), ("x" * 65537, "", "command"),
                                 ("a", "é" * 40000, "command_stdin")):
        assert said in refused(cloud.client, RPC_API, "one.vm.exec", vm, command, stdin)
    _, stranger = cloud.make_user()
    for method, *more in (("exec", "a"), ("retryexec",), ("cancelexec",)):
        assert "MANAGE" in refused(stranger, AUTHORIZATION, f"one.vm.{method}", vm, *more)
    waiting = cloud.make_vm()
    assert "PENDING" in refused(cloud.client, ACTION, "one.vm.exec", waiting, "a")
    for oid in (vm, waiting):
        cloud.client.call("one.vm.recover", oid, 3)


@pytest.mark.sqlite
def test_kill_9(make_cloud: MakeCloud) -> None:
    """A real oned that dies while a command runs."""
    cloud = make_cloud()
    host = cloud.add_hosts(1)[0]
    vm = cloud.make_vm(DUMMY={"ACTION": "vm.exec", "HANG": "YES"})
    cloud.deploy(vm, host)
    cloud.client.call("one.vm.exec", vm, "forever")
    cloud.kill()
    cloud.start()
    body = cloud.body("vm", vm)
    assert body.findtext("TEMPLATE/QEMU_GA_EXEC/STATUS") == "ERROR"
    assert b"started anew" in base64.b64decode(body.findtext("TEMPLATE/QEMU_GA_EXEC/STDERR") or "")
