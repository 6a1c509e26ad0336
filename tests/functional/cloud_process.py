"""A whole cloud for tests: real processes of oned and onesched over dummy drivers, in a home and HOME of their own."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

from ports import free_port, is_free
from scripted import give

from onecore.wire.client import Client, ClientError
from onecore.wire.states import vm_name

ROOT = Path(__file__).resolve().parents[2]
Settings = Mapping[str, Mapping[str, Any]]
"""{section: {key: value}} of oned.conf."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "auth": {"argon2_time_cost": 1, "argon2_memory_kb": 64},
    "defaults": {"system_tm": "dummy"},
}
START_SECONDS = STOP_SECONDS = 60.0
PATIENCE = 40.0
"""What must happen soon is waited for at least so long: a busy machine is no failure."""
T = TypeVar("T")
_serial = count(1)


class Cloud:
    """One oned (and onesched when asked for) on a free port; `client` calls it as oneadmin."""

    def __init__(self, root: Path, settings: Settings, url: str = "") -> None:
        self.home, self.user_home = root / "home", root / "user"
        self.home.mkdir(parents=True, exist_ok=True)
        self.user_home.mkdir(exist_ok=True)
        given = merged(DEFAULTS, settings, {"database": {"url": url}} if url else {})
        (self.home / "oned.conf").write_text(toml(given))
        self.environment = {**os.environ, "HOME": str(self.user_home), "PYTHONPATH": str(ROOT),
                            "ONE_AUTH": str(self.home / "one_auth")}
        self._listen(free_port())
        self.oned: subprocess.Popen[bytes] | None = None
        self.scheduler: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []
        self._ran = False

    # -- processes

    def start(self) -> Cloud:
        """Start oned, wait until it answers and knows its datastores; the same home and port when it ran before."""
        if not self._ran and not is_free(self.port):  # chosen a while ago, and another took it
            self._listen(free_port())
        self._ran = True
        self.oned = self._spawn("oned", "onecore", "--port", str(self.port))
        until(START_SECONDS, "oned to answer", self._answers)
        self.client = self.client_as(*self.credentials())
        until(START_SECONDS, "datastores to be measured", lambda: self.body("datastore", 1).findtext("TOTAL_MB") != "0")
        return self

    def _listen(self, port: int) -> None:
        self.port, self.endpoint = port, f"http://127.0.0.1:{port}/RPC2"
        self.environment["ONE_XMLRPC"] = self.endpoint

    def start_scheduler(self, config: str = "") -> None:
        """Start onesched, with CONFIG as its sched.conf."""
        if config:
            (self.home / "sched.conf").write_text(config)
        self.scheduler = self._spawn("onesched", "scheduler", "--endpoint", self.endpoint)

    def stop(self) -> int:
        """SIGTERM to all; oned's exit code."""
        self.stop_scheduler()
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of oned; its drivers end by themselves."""
        self._end(signal.SIGKILL)

    def stop_scheduler(self, number: int = signal.SIGTERM) -> None:
        """A signal to onesched; waits for its end."""
        if self.scheduler:
            self.scheduler.send_signal(number)
            self.scheduler.wait(STOP_SECONDS)
            self.scheduler = None

    @property
    def pid(self) -> int:
        """The process id of oned."""
        assert self.oned is not None, "oned does not run"
        return self.oned.pid

    def output(self, daemon: str = "oned") -> str:
        """What a daemon wrote to standard output and error."""
        return (self.home.parent / f"{daemon}.out").read_text()

    def _spawn(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.home.parent / f"{name}.out").open("ab") as out:
            return subprocess.Popen([sys.executable, "-m", module, "--home", str(self.home), *arguments], cwd="/",
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environment)

    def _answers(self) -> bool:
        assert self.oned is not None
        if self.oned.poll() is not None:
            raise AssertionError(f"oned ended with {self.oned.returncode}:\n{self.output()}")
        try:
            client = Client(self.endpoint, ":".join(self.credentials()), 5.0)
            client.call("onecore.version")
            client.close()
        except (OSError, ClientError):
            return False
        return True

    def _end(self, number: int) -> int:
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self.oned is None:
            return 0
        self.oned.send_signal(number)
        try:
            return self.oned.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.oned.kill()
            self.oned.wait()
            raise AssertionError(f"oned does not end:\n{self.output()}") from None
        finally:
            self.oned = None

    # -- users

    def credentials(self) -> tuple[str, str]:
        """Name and password of oneadmin; OSError before they are made."""
        name, _, password = (self.home / "one_auth").read_text().strip().partition(":")
        return name, password

    def client_as(self, user: str, password: str) -> Client:
        """A client with another session."""
        made = Client(self.endpoint, f"{user}:{password}", 2 * PATIENCE)
        self._clients.append(made)
        return made

    def make_user(self, name: str = "", password: str = "secret") -> tuple[int, Client]:
        """A plain user of group 1; its id and a client."""
        name = name or unique("user")
        oid = self.client.number("one.user.allocate", name, password, "", [1])
        return oid, self.client_as(name, password)

    # -- objects

    def add_hosts(self, number: int, wait: bool = True) -> list[int]:
        """That many dummy hosts, MONITORED when WAIT."""
        made = [self.client.number("one.host.allocate", unique("host"), "dummy", "dummy", -1) for _ in range(number)]
        if wait:
            for oid in made:
                self.wait_host(oid, "MONITORED")
        return made

    def make_image(self, name: str = "", datastore: int = 1, size: int = 64, **attributes: object) -> int:
        """A dummy image that is READY; attributes go into its template."""
        given = {"NAME": name or unique("image"), "SIZE": size, "TYPE": "DATABLOCK", **attributes}
        oid = self.client.number("one.image.allocate", template(given), datastore)
        until(10.0, f"image {oid} to be READY", lambda: self.body("image", oid).findtext("STATE") == "1")
        return oid

    def make_network(self, name: str = "", size: int = 100, ip: str = "10.0.0.1", **attributes: object) -> int:
        """A dummy network with one address range."""
        given = {"NAME": name or unique("net"), "VN_MAD": "dummy", **attributes}
        text = template(given) + f'AR=[TYPE="IP4",IP="{ip}",SIZE="{size}"]\n'
        return self.client.number("one.vn.allocate", text, -1)

    def make_template(self, name: str = "", image: int = -1, network: int = -1, **attributes: object) -> int:
        """A VM template, with a disk and a NIC when IMAGE and NETWORK are given."""
        return self.client.number("one.template.allocate",
                                  vm_template(name or unique("template"), image, network, **attributes))

    def make_vm(self, name: str = "", image: int = -1, network: int = -1, hold: bool = False,
                **attributes: object) -> int:
        """A VM, PENDING (or HOLD)."""
        text = vm_template(name or unique("vm"), image, network, **attributes)
        return self.client.number("one.vm.allocate", text, hold)

    def deploy(self, vm: int, host: int, datastore: int = -1) -> None:
        """Deploy by hand and wait until it is RUNNING."""
        self.client.call("one.vm.deploy", vm, host, False, datastore)
        self.wait_vm(vm, "RUNNING")

    # -- looking

    def body(self, kind: str, oid: int) -> ElementTree.Element:
        """The parsed body of one.KIND.info."""
        return ElementTree.fromstring(self.client.text(f"one.{kind}.info", oid))

    def vm_state(self, oid: int) -> str:
        """The VM's state by name: LCM_STATE when ACTIVE, else STATE."""
        body = self.body("vm", oid)
        return vm_name(int(body.findtext("STATE", "")), int(body.findtext("LCM_STATE", "")))

    def wait_vm(self, oid: int, state: str, timeout: float = 20.0) -> None:
        """Wait for a VM's state (PENDING, PROLOG, RUNNING, DONE, …)."""
        until(timeout, f"VM {oid} to be {state}", lambda: self.vm_state(oid) == state, lambda: self.vm_state(oid))

    def wait_host(self, oid: int, state: str, timeout: float = 20.0) -> None:
        """Wait for a host's state (INIT, MONITORED, ERROR, DISABLED …)."""
        from onecore.wire.states import HostState
        wanted = str(int(HostState[state]))
        until(timeout, f"host {oid} to be {state}", lambda: self.body("host", oid).findtext("STATE") == wanted)

    def hold(self, *actions: str, **more: object) -> None:
        """The next of these actions do not end before another script is given; MORE is in their rules."""
        self.dummy(rules=[{"action": action, "hold": True, **more} for action in actions])

    def dummy(self, **script: object) -> None:
        """Give the dummy drivers another script (docs/drivers.md), read before their next action."""
        give(self.home, script)


def until(seconds: float, what: str, done: Callable[[], T], now: Callable[[], object] | None = None) -> T:
    """Ask DONE until it is true, and return that; AssertionError names WHAT was waited for, and what is NOW instead."""
    seconds = max(seconds, PATIENCE)
    end, pause = time.monotonic() + seconds, 0.005
    while True:
        found = done()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}" + (f", it is {now()}" if now else ""))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def unique(word: str) -> str:
    """A name that no other call gives."""
    return f"{word}-{next(_serial)}"


def template(attributes: Mapping[str, object]) -> str:
    """Attributes as OpenNebula's text; a mapping is a vector, a list one attribute an item."""
    lines = []
    for name, given in attributes.items():
        for value in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(value, Mapping):
                lines.append(f"{name}=[{','.join(f'{k}={json.dumps(str(v))}' for k, v in value.items())}]")
            else:
                lines.append(f"{name}={json.dumps(str(value))}")
    return "\n".join(lines) + "\n"


def vm_template(name: str, image: int = -1, network: int = -1, **attributes: object) -> str:
    """A VM's template, with a disk and a NIC when IMAGE and NETWORK are given."""
    given: dict[str, object] = {"NAME": name, "CPU": 0.1, "MEMORY": 64}
    if image >= 0:
        given["DISK"] = {"IMAGE_ID": image}
    if network >= 0:
        given["NIC"] = {"NETWORK_ID": network}
    return template({**given, **attributes})


def merged(*settings: Settings) -> dict[str, dict[str, Any]]:
    """Sections laid over each other, key by key."""
    out: dict[str, dict[str, Any]] = {}
    for one in settings:
        for section, values in one.items():
            out.setdefault(section, {}).update(values)
    return out


def toml(settings: Settings) -> str:
    """Sections as TOML."""
    return "".join(f"[{section}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())
                   for section, values in settings.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


_ONECORE = [sys.executable, "-c", "from cli.onecore import main; raise SystemExit(main())"]


def onecore(cloud: Cloud, *words: str, code: int = 0, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """The command `onecore`; with the code that is expected."""
    done = subprocess.run([*_ONECORE, *words], cwd=cloud.home.parent, input=given, timeout=300, capture_output=True,
                          env=cloud.environment)
    assert done.returncode == code, done.stdout.decode(errors="replace") + done.stderr.decode()
    return done
