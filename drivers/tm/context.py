"""The context CD: an ISO labelled CONTEXT with `context.sh` and the VM's files, as guests' start-up packages read it.

What is in the context is decided by the core; here it is only quoted, checked and written.
"""
from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.base import Context, Executor, Permanent
from drivers.tm.layout import disk_path, vm_dir
from drivers.tm.steps import Step, perform
from onecore.wire.messages import Doc

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_MAKERS = ("genisoimage", "xorrisofs", "mkisofs")
_FIND = "for maker in \"$@\"; do command -v \"$maker\" && exit; done; true"


def write_context(ctx: Context, executor: Executor, vm: Doc) -> None:
    """Write the VM's context CD to `dir/disk.N`, whole; a VM without one is left alone.

    Raises Permanent for a name that a shell would not take, a missing file, and a host without a tool to make an ISO.
    """
    disk = vm.get("context_disk")
    if not disk:
        return
    path = disk_path(vm, disk)
    stage = f"{vm_dir(vm)}/context.tmp"
    script = context_script(vm["context"]).encode()
    files = checked(vm.get("context_files", []))
    steps = disc_steps(iso_maker(executor), stage, path)
    what = f"context of VM {vm['id']}"
    perform(ctx, executor, [Step(what, ("rm", "-rf", "--", stage)), Step(what, ("mkdir", "--mode=0700", "--", stage))])
    executor.write(f"{stage}/context.sh", script)
    for file in files:
        _bring(ctx, executor, file, stage)
    perform(ctx, executor, steps)


def context_script(context: Mapping[str, str]) -> str:
    """`context.sh`: NAME='value' lines in the order of their names; raises Permanent for a bad name."""
    for name in context:
        if not _NAME.match(name):
            raise Permanent(f"CONTEXT: {name!r} cannot be the name of a shell variable")
    return "# Context variables\n" + "".join(f"{name}={quote(context[name])}\n" for name in sorted(context))


def quote(value: str) -> str:
    """VALUE in single quotes, as every shell reads back unchanged; raises Permanent when it holds a NUL."""
    if "\0" in value:
        raise Permanent("CONTEXT: a value holds a NUL")
    return "'" + value.replace("'", "'\\''") + "'"


def checked(files: list[dict[str, str]]) -> list[dict[str, str]]:
    """FILES, if each has a name that can stand on the disc; else Permanent."""
    names = [file["name"] for file in files]
    for name in names:
        if not _FILE.match(name) or name == "context.sh" or names.count(name) > 1:
            raise Permanent(f"CONTEXT: {name!r} cannot be the name of a file on the context CD")
    return files


def disc_steps(maker: str, stage: str, path: str) -> list[Step]:
    """Steps that make the disc PATH of what is in STAGE, and remove that."""
    what, made = "context CD", f"{path}.tmp"
    iso = (maker, "-quiet", "-V", "CONTEXT", "-J", "-R", "-o", made, stage)
    return [Step(what, ("chmod", "-R", "u+rwX,go+rX", "--", stage)),
            Step(what, ("find", stage, "-exec", "touch", "--date=@0", "--", "{}", "+")),
            Step(what, iso, grows=made), Step(what, ("chmod", "600", "--", made)), Step(what, ("sync", "--", made)),
            Step(what, ("mv", "-T", "--", made, path)), Step(what, ("rm", "-rf", "--", stage))]


def _bring(ctx: Context, executor: Executor, file: dict[str, str], stage: str) -> None:
    """A context file from this machine, the front-end, into STAGE on the host."""
    what = f"context file {file['name']}"
    try:
        executor.put(file["source"], f"{stage}/{file['name']}", lambda done, total: ctx.progress(what, done, total))
    except Permanent as error:
        raise Permanent(f"{what}: {error}") from error


def iso_maker(executor: Executor) -> str:
    """The path of the tool on the host that makes ISO images; raises Permanent when there is none."""
    found = executor.run(["sh", "-c", _FIND, "sh", *_MAKERS]).strip()
    if not found:
        raise Permanent(f"the context CD needs one of {', '.join(_MAKERS)} on the host (apt-get install genisoimage)")
    return found
