"""`im check`: whether a host has what its VMs will need; each finding with what a person can do about it."""
from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from drivers.base import Cancelled, Context, DriverError, Executor
from drivers.im.findings import NAMES, findings, not_asked, unreachable
from drivers.im.programs import CHECK, ask, uri_of
from drivers.vm.hypervisor import hypervisor_as_it_runs
from onecore.wire.messages import Doc


def check(ctx: Context, args: Doc) -> Doc:
    """The checks of a host; what is wrong is in them, and nothing of that raises."""
    host, executor = args["host"], ctx.host(args["host"])
    datastores = list(args.get("datastores") or [])
    bridges = [str(name) for name in args.get("bridges") or []]
    names = [*NAMES[2:], *(f"storage {each['id']}" for each in datastores), *(f"bridge {name}" for name in bridges)]
    began = time.monotonic()
    try:
        executor.insist()
        executor.exists("/")
        reached = time.monotonic() - began
        with _tokens(datastores, executor) as marked:
            found = ask(ctx, host, CHECK, {"uri": uri_of(ctx), "datastores": marked, "bridges": bridges})
        now = time.time()
    except Cancelled:
        raise
    except DriverError as error:
        return {"checks": [*unreachable(host, _user(ctx, host), str(error)), *not_asked(names)]}
    return {"checks": findings(host, {**found, "reached": reached, "skew": found["time"] - now,
                                      "kind": _kind(ctx, host, found["running"]), "local": executor.is_local}, marked)}


def _kind(ctx: Context, host: Doc, running: list[str]) -> str:
    """The hypervisor, or what is wrong with the setting."""
    try:
        return hypervisor_as_it_runs(ctx, host, running)
    except DriverError as error:
        return str(error)


def _user(ctx: Context, host: Doc) -> str:
    return str((host.get("attrs") or {}).get("SSH_USER") or (ctx.settings.get("ssh") or {}).get("user") or "root")


@contextmanager
def _tokens(datastores: list[Doc], executor: Executor) -> Iterator[list[Doc]]:
    """The datastores, each with the `token` that lies in its directory here, '' where there is no such directory."""
    marked = [{**each, "base_path": str(each["base_path"]), "token": ""} for each in datastores]
    try:
        for each in marked if not executor.is_local else []:
            name = f".onecore-check-{secrets.token_hex(6)}"
            with suppress(OSError), open(os.path.join(each["base_path"], name), "x"):
                each["token"] = name
        yield marked
    finally:
        for each in marked:
            if each["token"]:
                with suppress(OSError):
                    os.unlink(os.path.join(each["base_path"], each["token"]))
