"""The KVM drivers under the contract suite: on this machine's own libvirt and QEMU, and on a host over SSH."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from rig import LASTING, Ground, Rig

sys.path.append(str(Path(__file__).parents[1] / "live"))
import kvm_ground as kvm
import kvm_remote as remote
from bed import Bed

from onecore.wire.messages import Doc

_SETTINGS = {"hypervisor": "qemu"}
_MORE = {"attrs": {"GRAPHICS": {"TYPE": "NONE"}, "VCPU_MAX": "2"}}


class RemoteRig(Rig):
    """The same driver, its host far away."""

    @property
    def name(self) -> str:
        """How the suite shows it."""
        return f"{super().name}-remote"


@contextmanager
def _opened(directory: Path) -> Iterator[Ground]:
    def has(_: Doc, vm: Doc) -> Doc:
        shown = ["virsh", "-c", "qemu:///system", "dumpxml", f"one-{vm['id']}"]
        return kvm.parts(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)

    with kvm.alone(range(1, 10)):
        yield Ground(home=directory, host=kvm.host, vm=lambda number: kvm.with_qcow2(kvm.vm(directory, number)),
                     settings={"kvm": _SETTINGS}, vanish=lambda _, vm: kvm.kill(vm["id"]), has=has,
                     add_disk=kvm.add_disk, more=_MORE, agent=False, patience=3.0)


@cache
def _bed() -> Bed:
    """Two hosts for all tests of this process, which hand guests over to each other."""
    return LASTING.enter_context(remote.bed(tcp=True))


@contextmanager
def _far(directory: Path) -> Iterator[Ground]:
    bed = _bed()
    node, other = bed.nodes
    try:
        yield Ground(home=directory, host=lambda: remote.host(node), other=lambda: remote.host(other),
                     vm=lambda number: remote.vm(bed, number),
                     settings={"kvm": {**_SETTINGS, "migrate_uri": remote.URI}, "ssh": remote.ssh(bed)},
                     vanish=lambda _, vm: remote.kill(node, vm["id"]), patience=5.0)
    finally:
        remote.sweep(bed)


RIGS = [kind(family, "kvm", opened, parts, marks=(pytest.mark.live,))
        for kind, opened, parts in ((Rig, _opened, ("vm", "im", "vm_plug", "vm_snapshots")),
                                    (RemoteRig, _far, ("vm", "im", "vm_migrate")))
        for family in ("vm", "im")]
