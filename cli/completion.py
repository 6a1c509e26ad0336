"""Shell completion: names and ids from the server, and what a shell has to source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem, get_completion_class

from cli.kind import Kind

if TYPE_CHECKING:
    import click

    from onecore.wire.xmlbody import Body

SECONDS = 2.0
"""How long a completion may keep the user waiting."""


def objects(kind: Kind, given: Mapping[str, Any], incomplete: str, comma: bool) -> list[CompletionItem]:
    """Names and ids that begin with INCOMPLETE (after its last comma); silently nothing when no server answers."""
    from cli.ids import read_pool
    from cli.session import Account, connect

    before, begun = incomplete.rsplit(",", 1) if comma and "," in incomplete else ("", incomplete)
    prefix = f"{before}," if before else ""
    try:
        account = Account(given.get("endpoint"), given.get("user"), given.get("password"))
        body = read_pool(connect(account), kind, timeout=SECONDS)
        known = [(e.findtext("ID") or "", e.findtext("NAME") or "") for e in body.findall(kind.tag)]
    except Exception:  # a completion that fails must not print anything into the user's line
        return []
    found = [
        CompletionItem(prefix + name, help=f"{kind.tag} {oid}")
        for oid, name in known
        if name.startswith(begun) and name
    ]
    return found + [CompletionItem(prefix + oid, help=name) for oid, name in known if begun and oid.startswith(begun)]


def parts(
    kind: Kind, given: Mapping[str, Any], incomplete: str, known: Callable[[Body], list[tuple[str, str]]]
) -> list[CompletionItem]:
    """Ids and names that KNOWN finds in the object given before; silently nothing when no server answers."""
    from cli.ids import read_pool
    from cli.session import Account, connect

    try:
        from onecore.wire import xmlbody

        caller, text = connect(Account(given.get("endpoint"), given.get("user"), given.get("password"))), given["oid"]
        if not text.isdigit():
            pool = read_pool(caller, kind, timeout=SECONDS).findall(kind.tag)
            text = next(e.findtext("ID") for e in pool if e.findtext("NAME") == text)
        pairs = known(xmlbody.read(str(caller.call(kind.call("info"), int(text), timeout=SECONDS))))
    except Exception:  # as above
        return []
    named = [CompletionItem(name, help=oid) for oid, name in pairs if name and name.startswith(incomplete)]
    return named + [CompletionItem(oid, help=name) for oid, name in pairs if oid.startswith(incomplete)]


def script(shell: str, programs: Mapping[str, click.Command]) -> str:
    """What SHELL has to source so that all PROGRAMS complete."""
    made = get_completion_class(shell)
    if made is None:
        raise ValueError(f"no completion for {shell}")

    class Unchecked(made):  # type: ignore[misc,valid-type]
        """Without a look at the shell that happens to be installed here: the script may be for another machine."""

        @staticmethod
        def _check_version() -> None:
            pass

    scripts = (Unchecked(program, {}, name, f"_{name.upper()}_COMPLETE").source() for name, program in programs.items())
    return "\n".join(scripts)
