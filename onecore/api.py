"""The API table: what a method is called, what right it needs on what, its arguments, and the function.

`@method(...)` is the only place where a method is registered.  A method's function takes the request, the object when
it is `on` a kind, then its arguments; it returns an id (int), a text, or a Body of ready fragments.
"""
from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from onecore.auth.caller import Caller
from onecore.errors import BadArgument
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx

_TYPE_NAMES = {"int": "an integer", "str": "a string", "bool": "a boolean", "list": "an array of integers"}


class Body(list[bytes]):
    """An answer of escaped XML fragments."""


@dataclass(slots=True)
class Request:
    """One call: who, with which transaction.  `prepared` is what the method's `prepare` awaited."""

    core: Core
    caller: Caller
    method: str
    rid: str
    tx: Tx
    prepared: Any = None
    client: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument after the session (and after the object's id)."""

    name: str
    type: str
    default: Any = inspect.Parameter.empty


Right = str | None | Callable[..., "str | None"]


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table."""

    name: str
    right: Right
    on: str | None
    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    reads: bool
    prepare: Callable[..., Awaitable[Any]] | None
    object_at: int
    """Which argument is the object's id."""
    dry: bool = True
    """Whether it can be tried without doing it: nothing happens outside of its transaction."""


TABLE: dict[str, Method] = {}


def method(name: str, right: Right = None, on: str | None = None, *, reads: bool = False, object_at: int = 0,
           prepare: Callable[..., Awaitable[Any]] | None = None,
           dry: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an API method.  RIGHT: USE MANAGE ADMIN CREATE, None (any user), or a function of the arguments."""
    def declare(call: Callable[..., Any]) -> Callable[..., Any]:
        register(name, call, right, on, reads=reads, object_at=object_at, prepare=prepare, dry=dry)
        return call
    return declare


def register(name: str, call: Callable[..., Any], right: Right, on: str | None, *, reads: bool = False,
             object_at: int = 0, prepare: Callable[..., Awaitable[Any]] | None = None, dry: bool = True) -> None:
    """As `method`, for functions that are made (the shared verbs)."""
    if name in TABLE:
        raise ValueError(f"{name} is declared twice")
    if not call.__doc__:
        raise ValueError(f"{name} has no docstring")
    skip = 2 if on else 1
    parameters = [Parameter(p.name, str(p.annotation).removesuffix("[int]"), p.default)
                  for p in list(inspect.signature(call).parameters.values())[skip:]]
    if on:
        parameters.insert(object_at, Parameter("id", "int"))
    TABLE[name] = Method(name, right, on, call, tuple(parameters), reads, prepare, object_at, dry)


def arguments(found: Method, given: list[Any]) -> list[Any]:
    """GIVEN as the method reads them: surplus ones are ignored, missing trailing ones get their default.

    Raises BadArgument naming the argument.
    """
    out = []
    for position, parameter in enumerate(found.parameters):
        if position < len(given):
            out.append(_coerce(parameter, given[position], position + 1))
        elif parameter.default is not inspect.Parameter.empty:
            out.append(parameter.default)
        else:
            raise BadArgument(f"argument {position + 1} ({parameter.name}) is missing, "
                              f"expected {_TYPE_NAMES[parameter.type]}")
    return out


def _coerce(parameter: Parameter, value: Any, position: int) -> Any:
    kind = parameter.type
    if kind == "int" and isinstance(value, int):
        if not -2**31 <= value < 2**63:
            raise BadArgument(f"argument {position} ({parameter.name}) is out of range: {value}")
        return int(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, int):
        return bool(value)
    if kind == "list" and isinstance(value, list) and all(isinstance(v, int) for v in value):
        return value
    raise BadArgument(f"argument {position} ({parameter.name}) must be {_TYPE_NAMES[kind]}, not {type(value).__name__}")
