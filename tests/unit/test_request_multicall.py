"""Several calls in one, when not all of them can be answered."""
from __future__ import annotations

import asyncio
from typing import Any
from xmlrpc.client import loads

import pytest

from onecore.errors import NotReady
from onecore.request import introspection
from onecore.wire import xmlrpc

CALLS = [{"methodName": "one.vm.allocate", "params": [number]} for number in range(4)]


def answered(ready: int) -> list[Any]:
    """What CALLS are answered when only READY of them find the manager ready."""
    seen: list[int] = []

    async def one(name: str, given: list[Any]) -> list[bytes]:
        seen.append(given[0])
        if len(seen) > ready:
            raise NotReady
        return [xmlrpc.success(given[0])]
    answer = b"".join(asyncio.run(introspection.answer("system.multicall", [CALLS], one)))
    assert seen == list(range(min(ready + 1, len(CALLS)))), "nothing is tried behind the first that was not ready"
    found: Any = loads(answer.decode())[0][0]
    return list(found)


@pytest.mark.parametrize("ready", [1, 3, 4])
def test_what_was_done_is_told_though_others_were_not(ready: int) -> None:
    told = answered(ready)
    assert [one[0][1] for one in told[:ready]] == list(range(ready))
    assert [one["faultCode"] for one in told[ready:]] == [-503] * (len(CALLS) - ready)


def test_where_nothing_was_done_all_of_it_is_not_ready() -> None:
    with pytest.raises(NotReady):
        answered(0)
