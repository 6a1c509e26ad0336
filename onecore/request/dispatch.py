"""One call from its bytes to its answer: decode, authenticate, check, fetch, authorize, run in a transaction, wait.

An answer is sent when what it depends on is durable; a refusal waits for all that was decided before it.
"""
from __future__ import annotations

import asyncio
from itertools import count
from time import perf_counter
from typing import Any

from onecore import api
from onecore.api import TABLE, Body, Method, Request
from onecore.auth.authorize import authorize
from onecore.auth.caller import Caller
from onecore.errors import BadArgument, Forbidden, Internal, Locked, NoExists, NotReady, OneError
from onecore.kinds.kind import KINDS, rules
from onecore.kinds.verbs import check_lock
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor
from onecore.request.authenticate import authenticate
from onecore.wire import xmlrpc
from onecore.wire.template import TemplateError, check_text

REFUSALS_A_SECOND = 20
"""Rows of refused calls in the change log."""


class Dispatch:
    """The way of a call.  `ready` is false while there is no state to answer from."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.ready = True
        self.in_progress = 0
        self._numbers = count(1)
        self._refusals = (0, 0)

    async def answer(self, data: bytes, client: str = "") -> list[bytes]:
        """The fragments of the answer to a call's bytes; raises NotReady."""
        if not self.ready:
            raise NotReady
        try:
            name, given = xmlrpc.decode_call(data)
        except xmlrpc.BadCall as error:
            return [xmlrpc.fault(-503, f"Not an XML-RPC call: {error}")]
        found = TABLE.get(name)
        if found is None:
            return [xmlrpc.fault(-506, f"Method '{name[:80]}' not defined")]
        start = perf_counter()
        rid = f"{self.core.epoch:x}-{next(self._numbers):x}"
        self.in_progress += 1
        call = _Call(self, found, given, rid, client)
        try:
            fragments, code = await call.run(), 0
        except OneError as error:
            fragments, code = await self._refused(call, error)
        except (NotReady, asyncio.CancelledError):
            raise
        except Exception as error:  # a bug: told once, kills nothing
            self.core.log.error(f"{name} failed", rid, error)
            code = Internal.code
            fragments = [xmlrpc.failure(f"[{name}] Internal error, see request {rid} in the log", code)]
        finally:
            self.in_progress -= 1
        uid = call.caller.uid if call.caller else -1
        self.core.log.call(rid, uid, name, call.oid, code, (perf_counter() - start) * 1000, client)
        return fragments

    async def _refused(self, call: _Call, error: OneError) -> tuple[list[bytes], int]:
        """The answer to a call that failed, once all that it may have been decided on is durable; raises NotReady."""
        core, given = self.core, self.core.store.given
        if not isinstance(error, Internal):
            if not self.ready:  # decided while memory was being loaded anew
                raise NotReady
            if call.caller is not None and not call.method.reads and not core.store.refuses:
                self._note_refusal(call, error)
            try:
                await wait_durable(core, given)
            except Internal as why:
                error = why
        oid = error.oid if error.oid >= 0 else call.oid
        return [xmlrpc.failure(f"[{call.method.name}] {error.text}", error.code, oid)], error.code

    def _note_refusal(self, call: _Call, error: OneError) -> None:
        """A row in the change log, not waited for, a few a second at most."""
        second, number = self._refusals
        now = self.core.now()
        number = number + 1 if second == now else 1
        self._refusals = (now, number)
        if number <= REFUSALS_A_SECOND and call.caller:
            actor = Actor(call.caller.uid, call.caller.gid, call.method.name, call.rid)
            with self.core.store.tx(actor) as tx:
                tx.log(call.method.on or "", call.oid, "refused", new=f"0x{error.code:04x}",
                       keys=[error.text[:200].replace(",", ";")])


class _Call:
    """One call under way."""

    __slots__ = ("dispatch", "method", "given", "rid", "client", "caller", "oid")

    def __init__(self, dispatch: Dispatch, method: Method, given: list[Any], rid: str, client: str) -> None:
        self.dispatch, self.method, self.given, self.rid, self.client = dispatch, method, given, rid, client
        self.caller: Caller | None = None
        self.oid = -1

    async def run(self) -> list[bytes]:
        core, method = self.dispatch.core, self.method
        session = self.given[0] if self.given else None
        caller = core.sessions.find(session) if isinstance(session, str) else None
        self.caller = caller or await authenticate(core, session)
        arguments = self._arguments()
        request = Request(core, self.caller, method.name, self.rid, None, client=self.client)  # type: ignore[arg-type]
        if method.on:
            self.oid = arguments.pop(method.object_at)
            if self.oid == -1 and (own := KINDS[method.on].own) and method.name == f"{KINDS[method.on].api}.info":
                self.oid = own(self.caller)
        if method.prepare is not None:
            if method.on:  # refuse before any slow work
                request.prepared = await method.prepare(request, await self._object(arguments), *arguments)
            else:
                request.prepared = await method.prepare(request, *arguments)
        obj = await self._object(arguments) if method.on else None
        return await self._decide(request, obj, arguments)

    def _arguments(self) -> list[Any]:
        arguments = api.arguments(self.method, self.given[1:])
        for parameter, value in zip(self.method.parameters, arguments, strict=True):
            if isinstance(value, str):
                try:
                    check_text(value, parameter.name)
                except TemplateError as error:
                    raise BadArgument(str(error)) from None
        return arguments

    async def _object(self, arguments: list[Any]) -> Any:
        core, method = self.dispatch.core, self.method
        kind = KINDS[method.on or ""]
        try:
            obj = kind.find(core, self.oid)
        except NoExists:
            obj = await kind.archive(core, self.oid) if kind.archive else None
            if obj is None:
                raise
            self._authorize(obj, arguments)
            if not method.reads:
                raise self._gone(kind.label) from None
            return obj
        self._authorize(obj, arguments)
        return obj

    def _gone(self, label: str) -> OneError:
        from onecore.errors import WrongState
        return WrongState(f"{label} {self.oid} is in state DONE; it is kept for accounting and cannot be changed",
                          self.oid)

    def _authorize(self, obj: Any, arguments: list[Any]) -> None:
        method, core = self.method, self.dispatch.core
        right = method.right(*arguments) if callable(method.right) else method.right
        if right and self.caller:
            authorize(self.caller, right, method.on or "", obj, rules(core))
            if not method.reads and not method.name.endswith((".lock", ".unlock")):
                check_lock(obj, right, KINDS[method.on or ""].noun)

    async def _decide(self, request: Request, obj: Any, arguments: list[Any]) -> list[bytes]:
        core, method = self.dispatch.core, self.method
        store, who = core.store, request.caller
        if not self.dispatch.ready:
            raise NotReady
        with store.tx(Actor(who.uid, who.gid, method.name, self.rid)) as tx:
            request.tx = tx
            value = method.call(request, obj, *arguments) if method.on else method.call(request, *arguments)
        if not method.reads and isinstance(value, int) and self.oid < 0:
            self.oid = value
        needed = tx.seq or self._depends()
        fragments = xmlrpc.success_body(value) if isinstance(value, Body) else [xmlrpc.success(value)]
        if needed > store.durable:
            await wait_durable(core, needed)
        return fragments

    def _depends(self) -> int:
        store, method = self.dispatch.core.store, self.method
        if method.name == "onecore.events":
            return 0
        if method.on:
            return store.depends(method.on, self.oid)
        return store.given if store.given > store.durable else 0


async def wait_durable(core: Core, seq: int) -> None:
    """Return when SEQ is durable; raises Internal when it never will be."""
    if seq <= core.store.durable:
        return
    future: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    core.store.when_durable(seq, lambda error: None if future.done() else future.set_result(error))
    error = await future
    if error is not None:
        raise Internal(f"the change could not be stored: {error}")


__all__ = ["Dispatch", "Forbidden", "Locked"]
