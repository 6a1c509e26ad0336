"""A small oned for the match-maker's tests: a real XML-RPC server over a few objects, with a change log."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from ports import free_port

from onecore.wire import template, xmlrpc
from onecore.wire.affinity import Group, Role
from onecore.wire.states import Lcm, VmState, vm_name


@dataclass
class FakeVm:
    """A VM of the fake."""

    id: int
    cpu: float = 1.0
    memory: int = 128
    disk: int = 0
    user: dict[str, str] = field(default_factory=dict)
    automatic: str = "(CLUSTER_ID = 0) & !(PUBLIC_CLOUD = YES)"
    state: int = int(VmState.PENDING)
    lcm: int = 0
    host: int = -1
    store: int = -1
    resched: bool = False
    to: int = -1
    group: tuple[int, str] | None = None

    def body(self) -> str:
        """The VM's XML body."""
        history = (
            ""
            if self.host < 0
            else (
                f"<HISTORY><OID>{self.id}</OID><SEQ>0</SEQ><HID>{self.host}</HID><DS_ID>{self.store}</DS_ID>"
                "<ACTION>0</ACTION></HISTORY>"
            )
        )
        disk = f"<DISK><SIZE>{self.disk}</SIZE><TYPE>fs</TYPE></DISK>" if self.disk else ""
        return (
            f"<VM><ID>{self.id}</ID><STATE>{self.state}</STATE><LCM_STATE>{self.lcm}</LCM_STATE>"
            f"<RESCHED>{int(self.resched)}</RESCHED>"
            f"<TEMPLATE><AUTOMATIC_REQUIREMENTS>{template.cdata(self.automatic)}</AUTOMATIC_REQUIREMENTS>"
            f"<CPU>{self.cpu}</CPU>{disk}<MEMORY>{self.memory}</MEMORY>{self._group()}</TEMPLATE>"
            f"{template.to_xml(template.Tree(self.user.items()), 'USER_TEMPLATE')}"
            f"<HISTORY_RECORDS>{history}</HISTORY_RECORDS></VM>"
        )


    def _group(self) -> str:
        if self.group is None:
            return ""
        return f"<VMGROUP><ROLE>{self.group[1]}</ROLE><VMGROUP_ID>{self.group[0]}</VMGROUP_ID></VMGROUP>"


@dataclass
class FakeHost:
    """A host of the fake."""

    id: int
    cpu: int = 800
    memory: int = 16 * 1024 * 1024
    state: int = 2
    attributes: dict[str, str] = field(default_factory=lambda: {"ARCH": "x86_64"})

    def body(self) -> str:
        """The host's XML body."""
        return (
            f"<HOST><ID>{self.id}</ID><NAME>node{self.id}</NAME><STATE>{self.state}</STATE>"
            "<CLUSTER_ID>0</CLUSTER_ID>"
            f"<HOST_SHARE><MAX_MEM>{self.memory}</MAX_MEM><MAX_CPU>{self.cpu}</MAX_CPU>"
            "<DATASTORES><DS><FREE_MB>10000</FREE_MB><ID>0</ID><TOTAL_MB>20000</TOTAL_MB></DS></DATASTORES></HOST_SHARE>"
            f"<VMS/>{template.to_xml(template.Tree(self.attributes.items()))}<MONITORING/></HOST>"
        )


@dataclass
class _Body:
    """Ready XML."""

    text: str

    def body(self) -> str:
        """The text."""
        return self.text


CLUSTER = "<CLUSTER><ID>0</ID><NAME>default</NAME><TEMPLATE/></CLUSTER>"
STORE = (
    "<DATASTORE><ID>0</ID><NAME>system</NAME><TYPE>1</TYPE><STATE>0</STATE><CLUSTERS><ID>0</ID></CLUSTERS>"
    "<TOTAL_MB>0</TOTAL_MB><FREE_MB>0</FREE_MB><TEMPLATE/></DATASTORE>"
)


class FakeOned:
    """The server's state.  Every change goes to the log and wakes the polls."""

    def __init__(self) -> None:
        self.vms: dict[int, FakeVm] = {}
        self.hosts: dict[int, FakeHost] = {}
        self.groups: list[Group] = []
        self.plans: list[dict[str, int]] = []
        self.planned: list[tuple[int, int, list[dict[str, int]]]] = []
        self.log: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.refuse: Callable[[FakeVm, int], str] = lambda vm, host: ""
        self.refuse_move: Callable[[FakeVm, int, bool], str] = lambda vm, host, live: ""
        self.refuse_plans = 0
        """So many plans are not taken, and waited for still."""
        self.moves: list[tuple[int, int, bool]] = []
        self.oldest = 0
        self.deployed: dict[int, float] = {}
        self.news = threading.Condition(threading.RLock())
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/RPC2"

    def start(self) -> FakeOned:
        """Listen, on the same port as before if there was one."""
        self.port = self.port or free_port()  # none that a connection may get while nobody listens
        self._server = Server(("127.0.0.1", self.port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Go away: connections break, calls under way get no answer."""
        if self._server:
            self._server.ended = True
            with self.news:
                self.news.notify_all()
            self._server.shutdown()
            self._server.break_connections()
            self._server.server_close()

    def change(self, kind: str, oid: int, what: str, new: str = "", old: str = "", method: str = "") -> None:
        """Append to the change log."""
        with self.news:
            self.log.append(
                {
                    "seq": len(self.log) + 1,
                    "time": 0,
                    "kind": kind,
                    "id": oid,
                    "what": what,
                    "old": old,
                    "new": new,
                    "keys": [],
                    "uid": 0,
                    "method": method,
                    "rid": "x",
                }
            )
            self.news.notify_all()

    def add_host(self, host: FakeHost) -> None:
        """A new host, or a changed one."""
        with self.news:
            self.hosts[host.id] = host
            self.change("host", host.id, "update")

    def add_vm(self, vm: FakeVm) -> None:
        """A new VM."""
        with self.news:
            self.vms[vm.id] = vm
            self.change("vm", vm.id, "create", "PENDING" if vm.state == 1 else "RUNNING")

    def end_vm(self, vm: int) -> None:
        """A VM goes to DONE."""
        with self.news:
            self.vms[vm].state, self.vms[vm].lcm = int(VmState.DONE), 0
            self.change("vm", vm, "state", "DONE", "EPILOG")

    def wait(self, condition: Callable[[], bool], seconds: float = 40.0) -> bool:
        """Wait until CONDITION holds."""
        with self.news:
            return self.news.wait_for(condition, seconds)

    def answer(self, method: str, arguments: list[Any]) -> bytes:
        """The answer to a call."""
        with self.news:
            self.calls.append(method)
            self.news.notify_all()
            handler = getattr(self, "do_" + method.replace(".", "_"), None)
            if handler is None:
                return xmlrpc.failure(f"[{method}] unknown", 0x1000)
            found: bytes = handler(*arguments[1:])
            return found

    def do_onecore_events(self, since: int, timeout: int) -> bytes:
        server = self._server
        if 0 <= since <= len(self.log):
            self.news.wait_for(lambda: len(self.log) > since or server is None or server.ended, timeout)
        if since < 0 or since < self.oldest or since > len(self.log):
            return xmlrpc.success(json.dumps({"last": len(self.log), "reset": since >= 0, "events": []}))
        events = self.log[since : since + 5000]
        return xmlrpc.success(json.dumps({"last": since + len(events), "reset": False, "events": events}))

    def do_one_vmpool_info(self, *_: Any) -> bytes:
        return xmlrpc.success(self._pool("VM_POOL", [vm for vm in self.vms.values() if vm.state != VmState.DONE]))

    def do_one_vmpool_infoset(self, ids: str, _: bool) -> bytes:
        return xmlrpc.success(self._pool("VM_POOL", [self.vms[int(i)] for i in ids.split(",") if int(i) in self.vms]))

    def do_one_hostpool_info(self) -> bytes:
        return xmlrpc.success(self._pool("HOST_POOL", list(self.hosts.values())))

    def do_one_host_info(self, host: int) -> bytes:
        if host not in self.hosts:
            return xmlrpc.failure(f"[one.host.info] Error getting host [{host}].", 0x400, host)
        return xmlrpc.success(self.hosts[host].body())

    def do_one_datastorepool_info(self) -> bytes:
        return xmlrpc.success(f"<DATASTORE_POOL>{STORE}</DATASTORE_POOL>")

    def do_one_vmgrouppool_info(self, *_: Any) -> bytes:
        return xmlrpc.success(self._pool("VM_GROUP_POOL", [_Body(self._group(group)) for group in self.groups]))

    def _group(self, group: Group) -> str:
        roles = "".join(
            f"<ROLE><ID>{role.id}</ID><NAME>{role.name}</NAME><POLICY>{role.policy}</POLICY><VMS>{self._in(role)}</VMS>"
            "</ROLE>"
            for role in group.roles
        )
        return f"<VM_GROUP><ID>{group.id}</ID><NAME>{group.name}</NAME><ROLES>{roles}</ROLES><TEMPLATE/></VM_GROUP>"

    def _in(self, role: Role) -> str:
        return ",".join(str(vm.id) for vm in self.vms.values() if vm.group and vm.group[1] == role.name)

    def do_onecore_cluster_plans(self) -> bytes:
        return xmlrpc.success(json.dumps(self.plans))

    def do_onecore_cluster_planned(self, cluster: int, number: int, moves: str) -> bytes:
        if self.refuse_plans:
            self.refuse_plans -= 1
            return xmlrpc.failure("[onecore.cluster.planned] moves: host 2 must be in cluster 0", 0x2000, cluster)
        self.plans = [plan for plan in self.plans if plan["cluster"] != cluster]
        self.planned.append((cluster, number, json.loads(moves)))
        return xmlrpc.success(cluster)

    def do_one_clusterpool_info(self) -> bytes:
        return xmlrpc.success(f"<CLUSTER_POOL>{CLUSTER}</CLUSTER_POOL>")

    def do_one_vm_deploy(self, vm_id: int, host: int, enforce: bool, store: int, extra: str, force: bool,
                         waits: bool) -> bytes:
        assert (force, waits) == (False, True)
        vm = self.vms.get(vm_id)
        if vm is None:
            return xmlrpc.failure(f"[one.vm.deploy] Error getting virtual machine [{vm_id}].", 0x400, vm_id)
        if vm.state != VmState.PENDING:
            return xmlrpc.failure("[one.vm.deploy] Deploy action is not available for state", 0x800, vm_id)
        text = self.refuse(vm, host)
        if text:
            return xmlrpc.failure(f"[one.vm.deploy] {text}", 0x800, vm_id)
        vm.state, vm.lcm, vm.host, vm.store = int(VmState.ACTIVE), int(Lcm.PROLOG), host, store
        vm.user.pop("SCHED_MESSAGE", None)
        self.deployed[vm_id] = time.monotonic()
        self.change("vm", vm_id, "state", "PROLOG", "PENDING", "one.vm.deploy")
        return xmlrpc.success(vm_id)

    def do_one_vm_migrate(self, vm_id: int, host: int, live: bool, enforce: bool, store: int, kind: int,
                          marked: bool) -> bytes:
        vm = self.vms[vm_id]
        assert (enforce, store, kind, marked) == (True, -1, 0, True)
        text = self.refuse_move(vm, host, live) if vm.lcm in (0, int(Lcm.RUNNING)) else "wrong state"
        if text:
            return xmlrpc.failure(f"[one.vm.migrate] {text}", 0x800, vm_id)
        self.moves.append((vm_id, host, live))
        names = vm_name(vm.state, vm.lcm), "MIGRATE" if live else "SAVE_MIGRATE"
        vm.state, vm.lcm, vm.to, vm.resched = int(VmState.ACTIVE), int(Lcm[names[1]]), host, False
        vm.user.pop("SCHED_MESSAGE", None)
        self.change("vm", vm_id, "state", names[1], names[0], "one.vm.migrate")
        return xmlrpc.success(vm_id)

    def end_move(self, vm_id: int, ok: bool = True, resched: bool = False) -> None:
        """A migration is over: the VM is there, or back, and perhaps to be moved all the same."""
        with self.news:
            vm = self.vms[vm_id]
            before = vm_name(vm.state, vm.lcm)
            vm.host, vm.to, vm.lcm, vm.resched = vm.to if ok else vm.host, -1, int(Lcm.RUNNING), resched
            self.change("vm", vm_id, "state", "RUNNING", before)

    def mark(self, vm_id: int, resched: bool = True) -> None:
        """A VM is to be moved, or not any more."""
        with self.news:
            self.vms[vm_id].resched = resched
            self.change("vm", vm_id, "update", method="one.vm.action")

    def do_one_vm_update(self, vm_id: int, text: str, append: int) -> bytes:
        assert append == 1
        self.vms[vm_id].user.update({name: str(value) for name, value in template.parse(text)})
        self.change("vm", vm_id, "update", method="one.vm.update")
        return xmlrpc.success(vm_id)

    @staticmethod
    def _pool(tag: str, members: list[Any]) -> str:
        return f"<{tag}>" + "".join(member.body() for member in members) + f"</{tag}>"


class Server(socketserver.ThreadingTCPServer):
    """HTTP with kept connections that can be broken."""

    request_queue_size = 64

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], oned: FakeOned) -> None:
        super().__init__(address, Handler)
        self.oned, self.ended = oned, False
        self.open: set[Any] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell."""

    def break_connections(self) -> None:
        """Cut all kept connections."""
        for connection in list(self.open):
            connection.close()


class Handler(BaseHTTPRequestHandler):
    """POST /RPC2."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def do_POST(self) -> None:
        """Answer one call."""
        method, arguments = xmlrpc.decode_call(self.rfile.read(int(self.headers["Content-Length"])))
        data = self.server.oned.answer(method, arguments)
        if self.server.ended:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
