"""One call from its bytes to its answer: decode, authenticate, check, fetch, authorize, run in a transaction, wait.

An answer is sent when what it depends on is durable; a refusal waits for all that was decided before it.
"""
from __future__ import annotations

import asyncio
from contextlib import nullcontext
from itertools import count
from time import perf_counter
from typing import Any

from onecore import api
from onecore.api import TABLE, Body, Method, Request
from onecore.auth.caller import Caller
from onecore.errors import BadArgument, Forbidden, Internal, Locked, NoExists, NotReady, OneError
from onecore.kinds import sealed
from onecore.kinds.hook.call import document as call_document
from onecore.kinds.kind import KINDS
from onecore.kinds.verbs import permit
from onecore.kinds.zone import check_enabled
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.request import introspection, repeats
from onecore.request.authenticate import authenticate
from onecore.request.limits import Limits
from onecore.wire import xmlrpc
from onecore.wire.template import TemplateError, check_text

DRY_RUN = "onecore.dryrun"
REFUSALS_A_SECOND = 20
"""Rows of refused calls in the change log."""


class Answer(list[bytes]):
    """The fragments of an answer, and who asked, if that is known."""

    caller: Caller | None = None


def _tried(found: Method, given: list[Any]) -> tuple[Method, list[Any]]:
    """The method that a dry run is about, with its arguments; `onecore.dryrun` itself, which refuses, for none."""
    inner = TABLE.get(given[1]) if len(given) > 1 and isinstance(given[1], str) else None
    return (inner, [given[0], *given[2:]]) if inner and inner.dry and not inner.reads else (found, given)


class Dispatch:
    """The way of a call.  `ready` is false while there is no state to answer from."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.ready = True
        self.in_progress = 0
        self.limits = Limits(core.config.limits, core.config.server.large_answers, core.clock.monotonic)
        self._numbers = count(1)
        self._refusals = (0, 0)

    async def answer(self, data: bytes, client: str = "", key: str = "") -> Answer:
        """The fragments of the answer to a call's bytes; KEY is its idempotency key.  Raises NotReady."""
        if not self.ready:
            raise NotReady
        try:
            name, given = xmlrpc.decode_call(data)
        except xmlrpc.BadCall as error:
            return Answer([xmlrpc.fault(-503, f"Not an XML-RPC call: {error}")])
        if name in introspection.NAMES:
            return Answer(await introspection.answer(name, given, lambda n, g: self._one(n, g, client, "")))
        return await self._one(name, given, client, key)

    async def _one(self, name: str, given: list[Any], client: str, key: str) -> Answer:
        found, dry = TABLE.get(name), name == DRY_RUN
        if found is None:
            return Answer([xmlrpc.fault(-506, f"Method '{name[:80]}' not defined")])
        if dry:
            found, given = _tried(found, given)
        start = perf_counter()
        rid = f"{self.core.epoch:x}-{next(self._numbers):x}"
        self.in_progress += 1
        call = _Call(self, found, given, rid, client, key, dry)
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
        told = f"{DRY_RUN} {found.name}" if dry else name
        self.core.log.call(rid, uid, told, call.oid, code, (perf_counter() - start) * 1000, client)
        answer = Answer(fragments)
        answer.caller = call.caller
        return answer

    async def _refused(self, call: _Call, error: OneError) -> tuple[list[bytes], int]:
        """The answer to a call that failed, once all that it may have been decided on is durable; raises NotReady."""
        core, given = self.core, self.core.store.given
        if not isinstance(error, Internal):
            if not self.ready:  # decided while memory was being loaded anew
                raise NotReady
            if self._is_to_be_noted(call):
                self._note_refusal(call, error)
            if call.method.name in core.kinds["hook.calls"] and call.caller and not call.dry and not core.store.refuses:
                with core.store.tx(call.actor()) as tx:
                    tx.log("api", call.oid, "call", old="0", new=call_document(
                        call.method, call.given[1:], False, error.text, sealed.hidden(core.config)))
            await _seen_durable(core, given)
        oid = error.oid if error.oid >= 0 else call.oid
        return [xmlrpc.failure(f"[{call.method.name}] {error.text}", error.code, oid)], error.code

    def _is_to_be_noted(self, call: _Call) -> bool:
        """Whether a refusal goes into the change log: of changes, and of who could not be authenticated."""
        reads = call.caller is not None and (call.method.reads or call.dry)
        return not reads and not self.core.store.refuses

    def _note_refusal(self, call: _Call, error: OneError) -> None:
        """A row in the change log, not waited for, a few a second at most."""
        second, number = self._refusals
        now = self.core.now()
        number = number + 1 if second == now else 1
        self._refusals = (now, number)
        if number <= REFUSALS_A_SECOND:
            with self.core.store.tx(call.actor()) as tx:
                about = ("user", -1) if call.caller is None else (call.method.on or "", call.oid)
                tx.log(*about, "refused", new=f"0x{error.code:04x}", keys=[call.told(error)[:200].replace(",", ";")])


class _Call:
    """One call under way."""

    __slots__ = ("dispatch", "method", "given", "rid", "client", "key", "dry", "caller", "oid", "digest", "why")

    def __init__(self, dispatch: Dispatch, method: Method, given: list[Any], rid: str, client: str, key: str,
                 dry: bool) -> None:
        self.dispatch, self.method, self.given, self.rid, self.client = dispatch, method, given, rid, client
        self.key, self.dry, self.digest, self.why = key, dry, "", ""
        self.caller: Caller | None = None
        self.oid = -1

    async def run(self) -> list[bytes]:
        core = self.dispatch.core
        session = self.given[0] if self.given else None
        caller = core.sessions.find(session) if isinstance(session, str) else None
        self.caller = caller or await authenticate(core, session, self.client)
        with self.dispatch.limits.call(self.caller):
            return await self._run(self.caller)

    async def _run(self, caller: Caller) -> list[bytes]:
        core, method = self.dispatch.core, self.method
        arguments = self._arguments()
        self.key = repeats.take_key(method, arguments, self.key)
        if self.key:
            self.digest = repeats.digest(method, arguments)
            before = repeats.earlier(core, caller.uid, method.name, self.key, self.digest)
            if before is not None:
                return await self._again(before)
        if not method.reads:
            check_enabled(core, method.name, caller.admin)
        request = Request(core, caller, method.name, self.rid, None, client=self.client)  # type: ignore[arg-type]
        if method.on:
            self.oid = arguments.pop(method.object_at)
            if self.oid == -1 and (own := KINDS[method.on].own) and method.name == f"{KINDS[method.on].api}.info":
                self.oid = own(caller)
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
        if self.caller:
            self.why = permit(self.dispatch.core, self.caller, self.method, obj, arguments)

    async def _decide(self, request: Request, obj: Any, arguments: list[Any]) -> list[bytes]:
        core, method = self.dispatch.core, self.method
        store, who = core.store, request.caller
        if not self.dispatch.ready:
            raise NotReady
        if self.key:  # the same call may have been decided while this one was being prepared
            before = repeats.earlier(core, who.uid, method.name, self.key, self.digest)
            if before is not None:
                return await self._again(before)
        quiet = core.log.muted(True) if self.dry else nullcontext()
        with store.tx(self.actor()) as tx, quiet:
            request.tx, tx.dry = tx, self.dry
            value = method.call(request, obj, *arguments) if method.on else method.call(request, *arguments)
            if method.name in core.kinds["hook.calls"]:
                self._tell_hooks(tx, arguments, value)
            if self.key and not isinstance(value, Body):
                repeats.keep(tx, core, who.uid, method.name, self.key, self.digest, value)
        if not method.reads and isinstance(value, int) and self.oid < 0:
            self.oid = value
        needed = store.given if self.dry else tx.seq or self._depends()
        fragments = xmlrpc.success_body(value) if isinstance(value, Body) else [xmlrpc.success(value)]
        if needed > store.durable:
            await (_seen_durable if method.reads else wait_durable)(core, needed)
        return fragments

    def actor(self) -> Actor:
        """Who makes the call's changes."""
        who = self.caller
        return Actor(who.uid if who else -1, who.gid if who else -1, self.method.name, self.rid, self.why, self.client)

    def told(self, error: OneError) -> str:
        """What the change log tells of a refusal: of one without a caller the name that was given, never the rest."""
        session = self.given[0] if self.given and self.caller is None else ""
        name, colon, _ = session.partition(":") if isinstance(session, str) else ("", "", "")
        return f"as {name[:60]!r}: {error.text}" if colon else error.text

    def _tell_hooks(self, tx: Tx, arguments: list[Any], value: Any) -> None:
        """A hook waits for this method: what it is told of the call."""
        oid = value if isinstance(value, int) and self.oid < 0 else self.oid
        told = "" if isinstance(value, Body) else str(value)
        at = self.method.object_at
        given = [*arguments[:at], self.oid, *arguments[at:]] if self.method.on else arguments
        tx.log("api", oid, "call", old="1", new=call_document(self.method, given, True, told,
                                                                   sealed.hidden(self.dispatch.core.config)))

    async def _again(self, value: int | str) -> list[bytes]:
        """The answer that the call got before, once that is durable."""
        self.oid = value if isinstance(value, int) else -1
        await wait_durable(self.dispatch.core, self.dispatch.core.store.given)
        return [xmlrpc.success(value)]

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


async def _seen_durable(core: Core, seq: int) -> None:
    """As wait_durable, for who changed nothing; raises NotReady: what was seen never was, look again."""
    try:
        await wait_durable(core, seq)
    except Internal:
        raise NotReady from None


__all__ = ["Dispatch", "Forbidden", "Locked"]
