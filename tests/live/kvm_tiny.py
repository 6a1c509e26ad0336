"""The tiny guest for tests of what happens inside: its disks, and a way to run commands in it by its agent."""
from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import kvm_ground as ground
import pytest
from kvm_bench import Bench

from onecore.wire.messages import Doc

BOOT = 360.0


def image() -> Path:
    """The tiny guest's disk; skips where it was not made."""
    path = Path(os.environ.get("ONECORE_GUEST") or Path(__file__).parents[2] / "build" / "guest") / "tiny.qcow2"
    if not path.exists():
        pytest.skip(f"no guest image: scripts/guest-image.sh {path.parent}")
    return path


def vm(home: Path, number: int) -> Any:
    """A VM of it with a context CD, that may grow; its first disk is an overlay of the image."""
    machine: Any = ground.vm(home, number)
    path = f"{machine['dir']}/disk.0"
    os.unlink(path)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image(), "-F", "qcow2", path], check=True)
    machine["disks"][0] |= {"FORMAT": "qcow2", "SOURCE": str(image()), "CLONE": "YES"}
    return {**machine, "memory_mb": 112, "cpu": 1.0, "context": {"SET_HOSTNAME": "tiny"},
            "attrs": {"GRAPHICS": {"TYPE": "NONE"}, "VCPU_MAX": "2", "MEMORY_MAX": "160"},
            "context_disk": {"DISK_ID": "1", "TARGET": "hda", "DEV_PREFIX": "hd"}}


def image_disk(home: Path, machine: Doc, form: str) -> Doc:
    """A disk more, DISK_ID 2 and vdb, of 8 MB: a persistent image of that format, linked to."""
    subprocess.run(["qemu-img", "create", "-q", "-f", form, f"{home}/image2", "8M"], check=True)
    os.symlink(f"{home}/image2", f"{machine['dir']}/disk.2")
    return {"DISK_ID": "2", "TYPE": "FILE", "IMAGE_ID": "7", "SOURCE": f"{home}/image2", "CLONE": "NO", "SAVE": "YES",
            "SIZE": "8", "FORMAT": form, "TARGET": "vdb", "DEV_PREFIX": "vd"}


def boot(bench: Bench, machine: Doc) -> None:
    """The guest runs and its agent answers; skips where the image has none."""
    if not (image().parent / "agent").exists():
        pytest.skip("the guest image was made without an agent")
    bench.ok("deploy", machine)
    end = time.monotonic() + BOOT
    while not bench.do("exec", machine, command="true").ok:
        assert time.monotonic() < end, f"no agent within {BOOT} s"
        time.sleep(0.5)


def run(bench: Bench, machine: Doc, command: str) -> str:
    """What a command in the guest says, which must succeed."""
    done = bench.ok("exec", machine, command=command)
    assert done["return_code"] == 0, done
    return str(done["stdout"])


def write(bench: Bench, machine: Doc, letter: str, place: int) -> None:
    """4 KB of LETTER at so many MB of vdb, on stable storage."""
    fill = f"printf '{letter}%.0s' $(seq 4096)"
    run(bench, machine, f"{fill} | dd of=/dev/vdb bs=4096 seek={place * 256} conv=notrunc,fsync 2>/dev/null")


def letters(bench: Bench, machine: Doc) -> str:
    """What the guest has at the first 5 MBs of vdb, a letter each; '.' where nothing was written."""
    block = "dd if=/dev/vdb iflag=direct bs=4096 skip=$((each * 256)) count=1 2>/dev/null | head -c1 | tr '\\000' ."
    return run(bench, machine, f"for each in 0 1 2 3 4; do {block}; done")


def letters_of(path: str, form: str) -> str:
    """The same of a file on this machine."""
    made = f"{path}.raw"
    subprocess.run(["qemu-img", "convert", "-U", "-f", form, "-O", "raw", path, made], check=True)
    content = Path(made).read_bytes()
    os.unlink(made)
    return "".join(chr(content[each << 20] or ord(".")) for each in range(5))
