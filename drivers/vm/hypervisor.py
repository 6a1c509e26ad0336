"""Which hypervisor a host's guests run on: KVM where a guest has proved it, QEMU's emulation until then.

A /dev/kvm that opens proves nothing: it may still stop every guest.  So a guest of one boot sector (proof.s) is run on
it, once per host and kernel, in the background; what came out is kept in HOME/hypervisor/.
"""
from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from drivers.base import Context, DriverError, Executor, Permanent
from drivers.vm.settings import parse
from onecore.wire.messages import Doc

DEVICE = "/dev/kvm"
PROOF_SECONDS = 10
EXPECTED = "LTRC"
_RUNNING = ("/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/osrelease")
_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbf0010b90028fcf3abc70600100320c70600200330c7060030830066b8001000000f22d80f20e066"
    "83c8200f22e066b9800000c00f32660d000100000f30660f0116287d0f20c0660d010000800f22c0ea617c0800b8100000008ed0"
    "8ed88ec0bc007c0000b04ce86f000000bf30400000b8fe7c0000e867000000bf00420000b8077d0000e8580000000f011c252e7d"
    "0000ccb052e841000000b011e620b020e621b004e621b001e621b0fee621b034e64330c0e640b010e640bb32000000fbf485db75"
    "fbfab043e80e000000b00ae807000000b0fee664f4ebfdbaf8030000eec366890766c74702080066c74704008ec3b054e8e2ffff"
    "ff48cfffcbb020e62048cf90000000000000000000000000009a200000000000009200001700107d0000ff0f0040"
)


def hypervisor(ctx: Context, host: Doc, executor: Executor) -> str:
    """`kvm` or `qemu` for HOST: the setting kvm.hypervisor, or with `auto` what has been proved so far."""
    return _chosen(ctx, lambda: verdict(ctx.home, host, executor))


def hypervisor_as_it_runs(ctx: Context, host: Doc, now: list[str]) -> str:
    """As hypervisor(), for who knows already how the host runs NOW (see running()); asks nobody."""
    return _chosen(ctx, lambda: _proved(ctx.home, host, lambda: now))


def _chosen(ctx: Context, proved: Callable[[], str | None]) -> str:
    wanted = parse(ctx.settings).hypervisor
    return wanted if wanted != "auto" else proved() or "qemu"


def prove_in_background(ctx: Context, host: Doc) -> None:
    """Start the proof for HOST unless the setting or an earlier proof makes it needless, or one is under way."""
    if parse(ctx.settings).hypervisor == "auto":
        ctx.keep("hypervisor-proofs", lambda: _Proofs(ctx.home)).add(host, ctx.lasting(host))


class _Proofs:
    """The hosts whose proof is under way or awaited, and the one thread that takes them in turn."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._hosts: dict[str, tuple[Doc, Executor]] = {}
        self._running = self._closed = False

    def add(self, host: Doc, executor: Executor) -> None:
        """Prove HOST soon; nothing to do when it was proved since it started."""
        with self._lock:
            self._hosts.setdefault(_file_name(host), (host, executor))
            if not self._running:
                threading.Thread(target=self._run, name="hypervisor-proof", daemon=True).start()
                self._running = True

    def close(self) -> None:
        """No more proofs."""
        self._closed = True

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            host, executor = wanted
            try:
                if verdict(self._home, host, executor) is None:
                    record(self._home, host, executor, "kvm" if prove(executor) else "qemu")
            except (DriverError, OSError):
                continue

    def _next(self) -> tuple[Doc, Executor] | None:
        with self._lock:
            if self._closed or not self._hosts:
                self._running = False
                return None
            return self._hosts.pop(next(iter(self._hosts)))


def prove(executor: Executor) -> bool:
    """Run the proof on the executor's host, PROOF_SECONDS at most: true when the guest did all it should.

    Temporary when the host is lost meanwhile: that proves nothing.
    """
    if not executor.exists(DEVICE):
        return False
    path = f"/var/tmp/onecore-proof-{secrets.token_hex(6)}"
    executor.write(path, boot_sector(), 0o600)
    try:
        return executor.run(proof_command(path), timeout=PROOF_SECONDS + 2).strip() == EXPECTED
    except Permanent:
        return False
    finally:
        with suppress(DriverError):
            executor.run(["rm", "-f", "--", path])


def proof_command(path: str) -> list[str]:
    """The command that boots the sector in PATH under KVM; its output is what the guest said."""
    return ["timeout", "-s", "KILL", str(PROOF_SECONDS), "qemu-system-x86_64", "-accel", "kvm", "-m", "16",
            "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-drive", f"file={path},format=raw,if=floppy,readonly=on"]


def boot_sector() -> bytes:
    """The assembled proof.s."""
    return _CODE.ljust(510, b"\0") + b"\x55\xaa"


def verdict(home: Path, host: Doc, executor: Executor) -> str | None:
    """What was proved on HOST as it runs now; None: nothing since it started, or with another kernel."""
    return _proved(home, host, lambda: running(executor))


def _proved(home: Path, host: Doc, now: Callable[[], list[str]]) -> str | None:
    try:
        kept = json.loads((home / "hypervisor" / _file_name(host)).read_text())
    except (FileNotFoundError, ValueError):
        return None
    if kept.get("running") != now():
        return None
    return kept.get("hypervisor") if kept.get("hypervisor") in ("kvm", "qemu") else None


def record(home: Path, host: Doc, executor: Executor, hypervisor: str) -> None:
    """Keep what was proved, for this start and kernel of HOST."""
    path = home / "hypervisor" / _file_name(host)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    new.write_text(json.dumps({"hypervisor": hypervisor, "running": running(executor)}))
    new.rename(path)


def running(executor: Executor) -> list[str]:
    """What tells one start of a host from another: boot id and kernel."""
    return [executor.read(path).decode().strip() for path in _RUNNING]


def _file_name(host: Doc) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(host.get("name") or "localhost"))[:100] + f"-{host.get('id', 0)}.json"
