"""What drivers ask of a guest's QEMU itself, against one that is made up: its jobs, and what it refuses."""
from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("libvirt")

from drivers.base import Context, Permanent
from drivers.vm import chain, disk_merge, qmp, snapshots
from drivers.vm.disk_merge import Layers
from drivers.vm.disk_snapshots import Work
from drivers.vm.domain.live import LiveDisk
from drivers.vm.guest import Guest
from onecore.wire.messages import Doc

CTX = cast(Context, SimpleNamespace(sleep=lambda seconds: None, host=lambda host: None))
GUEST = cast(Guest, SimpleNamespace(domain=None))
DIR = "/ds/0/12"


class Qemu:
    """Does each job at once; those that begin with one of FAILS fail, commands in REFUSES are refused."""

    def __init__(self, patch: pytest.MonkeyPatch, fails: tuple[str, ...] = (), refuses: tuple[str, ...] = ()) -> None:
        self.fails, self.refuses = fails, refuses
        self.jobs: dict[str, Doc] = {}
        self.begun: list[str] = []
        self.told: list[Doc] = []
        patch.setattr(qmp, "ask", lambda ctx, args, what, function: function(None))
        patch.setattr(qmp.libvirt_qemu, "qemuMonitorCommand", self.answer)

    def answer(self, domain: Any, text: str, flags: int) -> str:
        """As the monitor does."""
        asked = json.loads(text)
        if asked["execute"] in self.refuses:
            return json.dumps({"error": {"desc": "no such node"}})
        return json.dumps({"return": self.do(asked["execute"], asked["arguments"])})

    def do(self, command: str, told: Doc) -> Any:
        """Do it; what is returned."""
        if command == "query-jobs":
            return list(self.jobs.values())
        if command == "job-dismiss":
            del self.jobs[told["id"]]
        elif "job-id" in told:
            self.begun.append(told["job-id"])
            self.leave(told["job-id"])
        else:
            self.told.append(told)
        return {}

    def leave(self, job: str) -> None:
        """One that ended and that nobody looked at yet."""
        failed = {"error": "no room"} if job.startswith(self.fails or ("-",)) else {}
        self.jobs[job] = {"id": job, "status": "concluded", **failed}


def args(op: int) -> Doc:
    """Of an operation about system snapshot 3."""
    return {"host": {}, "vm": {"id": 12, "dir": DIR}, "snapshot": {"id": 3}, "_": {"op": op}}


def drop(op: int) -> None:
    """The snapshot goes from the guest's disk."""
    snapshots._drop(CTX, args(op), GUEST, ["node0"])


def test_what_an_earlier_operation_left_is_not_taken_for_the_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its failure nor its success: each operation has a job of its own, which it finds again."""
    qemu = Qemu(monkeypatch, fails=("delete",))
    with pytest.raises(Permanent, match="no room"):
        drop(5)
    qemu.leave(qemu.begun[0])
    qemu.fails = ()
    drop(6)
    assert qemu.begun == ["delete-snap-3-5", "delete-snap-3-6"]
    qemu.leave("delete-snap-3-7")
    drop(7)
    assert len(qemu.begun) == 2 and list(qemu.jobs) == ["delete-snap-3-5"]


def renamed(patch: pytest.MonkeyPatch) -> None:
    """A disk's file stands on a snapshot that QEMU knows by another name."""
    disk = {"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "4", "SOURCE": "/ds/1/a"}
    layers = [(f"{DIR}/disk.0", "1"), (f"{DIR}/disk.0.snap/1", "2")]
    live = cast(LiveDisk, SimpleNamespace(layers=layers, chain=[path for path, _ in layers]))
    patch.setattr(disk_merge, "_layers", lambda *_: Layers([f"{DIR}/disk.0", f"{DIR}/disk.0.snap/2"], 1, True))
    patch.setattr(chain, "backing", lambda executor, path: ("disk.0.snap/1", "qcow2"))
    disk_merge._name_rightly(CTX, Work(args(5), GUEST, disk), live)


def test_a_file_says_by_its_right_name_what_it_stands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU writes that; when it refuses, the action fails: the old name is needed, and nothing may sweep it away."""
    qemu = Qemu(monkeypatch)
    renamed(monkeypatch)
    assert qemu.told == [{"device": "libvirt-1-format", "image-node-name": "libvirt-1-format",
                          "backing-file": "disk.0.snap/2"}]
    Qemu(monkeypatch, refuses=("change-backing-file",))
    with pytest.raises(Permanent, match="change-backing-file: no such node"):
        renamed(monkeypatch)
