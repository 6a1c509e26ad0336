"""The KVM drivers under the contract suite, on this machine's own libvirt and QEMU."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig import Ground, Rig

sys.path.append(str(Path(__file__).parents[1] / "live"))
import kvm_ground as kvm


@contextmanager
def _opened(directory: Path) -> Iterator[Ground]:
    with kvm.alone(range(1, 10)):
        yield Ground(home=directory, host=kvm.host, vm=lambda number: kvm.vm(directory, number),
                     settings={"kvm": {"hypervisor": "qemu"}}, vanish=lambda _, vm: kvm.kill(vm["id"]), patience=3.0)


RIGS = [Rig(family, "kvm", _opened, marks=(pytest.mark.live,)) for family in ("vm", "im")]
