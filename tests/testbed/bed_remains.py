"""Who has which test-bed, and what is left of one that nobody has: found by its names, and removed."""
from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bed_plan import NUMBERS, Plan
from bed_system import Failed, command_line, has_link, is_first, kill, loops, processes, remove_link, until

GROUPS = Path("/sys/fs/cgroup")


def take() -> tuple[int, int]:
    """A free number and the descriptor that holds its lock, with what was left there removed. Raises Failed."""
    for number in NUMBERS:
        lock = None if is_kept(number) else hold(number)
        if lock is None:
            continue
        if not is_kept(number):
            remove(Plan(number))
            return number, lock
        release(number, lock)
    raise Failed(f"all {len(NUMBERS)} test-beds are taken")


def hold(number: int) -> int | None:
    """The lock of a bed, or None when somebody has it."""
    path = Plan(number).lock
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == os.stat(path).st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def release(number: int, lock: int) -> None:
    """Give a number back. The file goes first: who opened it before sees that it is not the one in place."""
    Plan(number).lock.unlink(missing_ok=True)
    os.close(lock)


@contextmanager
def held(number: int) -> Iterator[bool]:
    """The lock of a bed for a while; whether it could be had."""
    lock = hold(number)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            release(number, lock)


def is_kept(number: int) -> bool:
    """Whether the bed outlives the process that made it (`up` on the command line)."""
    return (Plan(number).directory / "kept").exists()


def keep(number: int) -> None:
    """Have a bed outlive this process."""
    (Plan(number).directory / "kept").touch()


def roots(plan: Plan) -> list[int]:
    """The first processes of its nodes, and the parents of those; not what these fork, which is called as they are."""
    directory = str(plan.directory)
    return [pid for pid in processes() if _is_of(command_line(pid), directory) and is_first(pid)]


def _is_of(line: list[str], directory: str) -> bool:
    """Whether arguments are those of a node of that bed: .../node-init.sh DIRECTORY ..."""
    return any(name.endswith(("/node-enter.sh", "/node-init.sh")) and after == directory
               for name, after in zip(line, line[1:], strict=False))


def links(plan: Plan) -> list[str]:
    """Its network cards and bridges on the front-end."""
    ends = tuple(f"{name}n" for name, _ in plan.bridges)
    bridges = [name for name, _ in plan.bridges if has_link(name)]
    return [name for name in os.listdir("/sys/class/net") if name.startswith(ends)] + bridges


def groups(plan: Plan) -> list[Path]:
    """Its control groups, the innermost first."""
    tops = [*GROUPS.glob(f"*/{plan.directory.name}"), *GROUPS.glob(plan.directory.name)]
    return [path for top in tops for path in (*sorted(_below(top), reverse=True), top)]


def _below(top: Path) -> list[Path]:
    return [Path(place, name) for place, folders, _ in os.walk(top) for name in folders]


def left(plan: Plan) -> list[str]:
    """All there is of a bed, in words; nothing when there is none."""
    found = [f"process {pid}" for pid in roots(plan)] + [f"network card {name}" for name in links(plan)]
    found += [f"control group {path}" for path in groups(plan)] + [f"device {name}" for name in loops(plan.directory)]
    return found + ([f"directory {plan.directory}"] if plan.directory.exists() else [])


def remove(plan: Plan) -> None:
    """Remove all there is of a bed, for who holds its lock. Raises Failed when something stays."""
    for pid in roots(plan):
        kill(pid)
    until(lambda: not roots(plan), 120, f"the end of the nodes of bed {plan.number}")
    for name in links(plan):
        remove_link(name)
    until(lambda: _ungroup(plan), 120, f"the end of the control groups of bed {plan.number}")
    until(lambda: not loops(plan.directory), 120, f"the release of the disks of bed {plan.number}")
    if plan.directory.exists():
        shutil.rmtree(plan.directory)


def _ungroup(plan: Plan) -> bool:
    """Remove the control groups that are empty; whether all are gone."""
    for path in groups(plan):
        try:
            path.rmdir()
        except OSError:
            return False
    return True
