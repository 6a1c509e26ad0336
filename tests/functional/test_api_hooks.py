"""Hooks: programs that run for what happens, in order for each object, at least once, and their log."""
from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from pathlib import Path

import pytest
from api_calls import ALLOCATE, AUTHORIZATION, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique, until
from makers import MakeCloud
from xsd import validate

pytestmark = pytest.mark.surface

VM = "CPU=1\nMEMORY=64\n"


def program(path: Path, body: str) -> Path:
    """A shell program."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make(cloud: Cloud, **attributes: object) -> int:
    text = "".join(f'{name}="{value}"\n' for name, value in ({"NAME": unique("hook")} | attributes).items())
    return cloud.client.number("one.hook.allocate", text)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> object:
    made = Cloud(tmp_path_factory.mktemp("hooks"), {}).start()
    yield made
    made.stop()


def test_a_state_hook_runs_for_each_vm_in_order(own: Cloud, tmp_path: Path) -> None:
    """With the object's body; each VM's states one after the other; what it printed is in the log."""
    out = tmp_path / "out"
    slow = program(tmp_path / "slow", f'sleep 0.1; echo "$1 $2" >> {out}; echo done; echo problem >&2')
    hooks = [make(own, TYPE="state", RESOURCE="VM", ON=on, COMMAND=slow, ARGUMENTS=f"$ID {on} $TEMPLATE")
             for on in ("CREATE", "DONE")]
    vms = [own.client.number("one.vm.allocate", VM, True) for _ in range(3)]
    for vm in vms:
        own.client.call("one.vm.action", "terminate-hard", vm)
    until(20, "all hooks to run", lambda: len(lines(out)) == 6)
    for vm in vms:
        assert [line.split()[1] for line in lines(out) if line.startswith(f"{vm} ")] == ["CREATE", "DONE"]
    until(10, "the log", lambda: own.client.text("one.hook.info", hooks[0]).count("<EXECUTION_ID>") == 3)
    told = own.client.text("one.hook.info", hooks[0])
    validate("hook", re.sub(r"<(ON|TIMEOUT)>.*?</\1>", "", told))
    assert told.count("<CODE>0</CODE>") == 3 and "<STDOUT><![CDATA[done" in told and "problem" in told
    body = b64decode(re.findall(r" CREATE ([A-Za-z0-9+/=]+)", told)[0]).decode()
    assert body.startswith("<VM><ID>")
    for hook in hooks:
        own.client.call("one.hook.delete", hook)


def test_an_api_hook_is_told_of_the_call_without_its_secrets(own: Cloud, tmp_path: Path) -> None:
    """On standard input; calls that succeeded and calls that failed."""
    out = tmp_path / "out"
    listener = program(tmp_path / "p", f'printf "%s\\n" "$(cat)" >> {out}')
    hook = make(own, TYPE="api", CALL="one.user.allocate", COMMAND=listener, ARGUMENTS="$API", ARGUMENTS_STDIN="yes")
    name = unique("user")
    own.client.number("one.user.allocate", name, "top-secret", "", [])
    refused(own.client, ALLOCATE, "one.user.allocate", name, "top-secret", "", [])
    until(10, "two runs", lambda: len(lines(out)) == 2)
    bad, good = sorted(b64decode(line).decode() for line in lines(out))
    assert "<RESULT>1</RESULT>" in good and name in good and "<RESULT>0</RESULT>" in bad and "already taken" in bad
    assert "top-secret" not in good + bad + own.client.text("onecore.audit", "", 0, 1000)
    own.client.call("one.hook.delete", hook)


def test_an_api_hook_is_told_the_object_but_no_token(own: Cloud, tmp_path: Path) -> None:
    """A VM's id stands where the caller gave it; what a login answers is for its caller alone."""
    out = tmp_path / "out"
    listener = program(tmp_path / "p", f'printf "%s\\n" "$(cat)" >> {out}')
    hooks = [make(own, TYPE="api", CALL=call, COMMAND=listener, ARGUMENTS="$API", ARGUMENTS_STDIN="yes")
             for call in ("one.vm.action", "one.user.login")]
    vm = own.client.number("one.vm.allocate", VM, True)
    own.client.call("one.vm.action", "release", vm)
    token = own.client.text("one.user.login", "oneadmin", "", 60)
    until(10, "two runs", lambda: len(lines(out)) == 2)
    told = "".join(b64decode(line).decode() for line in lines(out))
    for place, value in (("2", "release"), ("3", str(vm))):
        assert re.search(f"<POSITION>{place}</POSITION><TYPE>IN</TYPE><VALUE>(<!\\[CDATA\\[)?{value}\\b", told), told
    assert token not in told + own.client.text("onecore.audit", "", 0, 1000)
    for hook in hooks:
        own.client.call("one.hook.delete", hook)


def test_a_hook_with_much_to_do_is_deleted(own: Cloud, tmp_path: Path) -> None:
    """What waited for it is given up at once, however much; other hooks of the same object go on."""
    out = tmp_path / "out"
    vm = own.client.number("one.vm.allocate", VM, True)
    busy = make(own, TYPE="api", CALL="one.vm.chmod", COMMAND=program(tmp_path / "p", "sleep 2"))
    for _ in range(600):
        own.client.call("one.vm.chmod", vm, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    own.client.call("one.hook.delete", busy)
    last = make(own, TYPE="api", CALL="one.vm.chmod", COMMAND=program(tmp_path / "q", f"echo ran >> {out}"))
    own.client.call("one.vm.chmod", vm, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    until(20, "the other hook", lambda: lines(out) == ["ran"])
    own.client.call("one.hook.delete", last)


def test_what_failed_can_be_run_again(own: Cloud, tmp_path: Path) -> None:
    """The log finds it by how it ended; a program that does not end is ended."""
    flag = tmp_path / "flag"
    hook = make(own, TYPE="state", RESOURCE="VM", ON="CREATE", ARGUMENTS="$ID 'two words'",
                COMMAND=program(tmp_path / "p", f"test -e {flag} || exit 3"))
    own.client.number("one.vm.allocate", VM, True)
    until(10, "the run", lambda: "<CODE>3</CODE>" in own.client.text("one.hooklog.info", -1, -1, hook, -1))
    assert "EXECUTION_ID" not in own.client.text("one.hooklog.info", -1, -1, hook, 1)
    flag.touch()
    own.client.call("one.hook.retry", hook, 0)
    until(10, "the second run", lambda: "<RETRY>" in own.client.text("one.hooklog.info", -1, -1, hook, 1))
    assert "two words" in own.client.text("one.hooklog.info", -1, -1, hook, 1)
    assert "no run 99" in refused(own.client, NO_EXISTS, "one.hook.retry", hook, 99)
    own.client.call("one.hook.delete", hook)
    endless = make(own, TYPE="state", RESOURCE="VM", ON="CREATE", TIMEOUT=1,
                   COMMAND=program(tmp_path / "q", "sleep 60"))
    own.client.number("one.vm.allocate", VM, True)
    until(20, "its end", lambda: "<CODE>-1</CODE>" in own.client.text("one.hooklog.info", -1, -1, endless, -1))
    own.client.call("one.hook.delete", endless)


def test_no_event_is_missed_over_a_crash(make_cloud: MakeCloud, tmp_path: Path) -> None:
    """kill -9 while hooks run and while events come: each VM's hook ran at least once."""
    cloud, out = make_cloud(), tmp_path / "out"
    make(cloud, TYPE="state", RESOURCE="VM", ON="CREATE", ARGUMENTS="$ID",
         COMMAND=program(tmp_path / "p", f'sleep 0.2; echo "$1" >> {out}'))
    vms = []
    for _ in range(2):
        vms += [cloud.client.number("one.vm.allocate", VM, True) for _ in range(10)]
        time.sleep(0.4)
        cloud.kill()
        cloud.start()
    until(40, "every hook", lambda: {int(line) for line in lines(out)} == set(vms))


@pytest.mark.parametrize(("attributes", "named"), [
    ({"TYPE": "other"}, "TYPE"), ({"TYPE": "api", "CALL": "one.vm.fly"}, "CALL"), ({"TYPE": "state"}, "RESOURCE"),
    ({"TYPE": "state", "RESOURCE": "VM", "ON": "FLY"}, "ON"),
    ({"TYPE": "state", "RESOURCE": "VM", "STATE": "X"}, "STATE"),
    ({"TYPE": "state", "RESOURCE": "VM", "STATE": "ACTIVE", "LCM_STATE": "X"}, "LCM_STATE"),
    ({"TYPE": "api", "CALL": "one.vm.info", "COMMAND": "../x"}, "COMMAND"),
    ({"TYPE": "api", "CALL": "one.vm.info", "TIMEOUT": "0"}, "TIMEOUT"),
    ({"TYPE": "api", "CALL": "one.vm.info", "REMOTE": "maybe"}, "REMOTE"),
    ({"TYPE": "api", "CALL": "one.vm.info", "COLOR": "red"}, "COLOR")])
def test_bad_hooks(own: Cloud, attributes: dict[str, str], named: str) -> None:
    """The error names the attribute."""
    text = "".join(f'{k}="{v}"\n' for k, v in ({"NAME": unique("hook"), "COMMAND": "/bin/true"} | attributes).items())
    assert named in refused(own.client, ALLOCATE, "one.hook.allocate", text)


def test_hooks_are_for_administrators(own: Cloud) -> None:
    """They run programs on the front-end: nobody else makes, sees or runs them again."""
    _, user = own.make_user()
    hook = make(own, TYPE="api", CALL="one.vm.info", COMMAND="/bin/true")
    text = f"NAME={unique('hook')}\nTYPE=api\nCALL=one.vm.info\nCOMMAND=/bin/true\n"
    for method, arguments in (("one.hook.allocate", (text,)), ("one.hook.info", (hook,)), ("one.hook.retry", (hook, 0)),
                              ("one.hooklog.info", ())):
        refused(user, AUTHORIZATION, method, *arguments)
    assert "<ID>" not in user.text("one.hookpool.info")
    validate("hook_pool", re.sub(r"<(ON|TIMEOUT)>.*?</\1>", "", own.client.text("one.hookpool.info")))
    assert "rc_hook" in refused(own.client, RPC_API, "one.hooklog.info", -1, -1, -1, 5)
    own.client.call("one.hook.delete", hook)
    assert json.loads(own.client.text("onecore.audit", f"kind=hook&id={hook}"))
