"""`onecore reconcile`: a restored cloud compared with what its hosts run, as tables."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from cli import sections
from cli.errors import CliError
from cli.local import launch
from cli.local.home import Home
from cli.session import Account, Session

WHAT = {
    "wild": "made after the backup; left alone",
    "missing": "its host does not run it; POWEROFF once this is accepted",
    "moved": "runs elsewhere than recorded; --take-over, or end it there",
}
"""What a finding means."""
ACCEPT = ("accept", "force", "take_over")


def reconcile(home: Home | None, as_json: bool, **given: bool) -> int:
    """Show the comparison; GIVEN: accept, force, take_over."""
    answer = _ask(home, [False] * len(ACCEPT))
    accepted = given["accept"] and answer["held"]
    if accepted:
        answer = _ask(home, [given[name] for name in ACCEPT])
    print(json.dumps(answer) if as_json else "\n".join(lines(answer, accepted)))
    return 0


def _ask(home: Home | None, arguments: list[bool]) -> dict[str, Any]:
    return dict(json.loads(ask(home, "onecore.reconcile", *arguments)))


def ask(home: Home | None, method: str, *arguments: object, seconds: float = 30.0) -> str:
    """The answer of the oned of HOME, or of the one that the environment names."""
    from cli.local.home import default
    from onecore.wire.client import ClientError

    if home is None and os.environ.get("ONE_XMLRPC"):
        return Session(Account()).text(method, *arguments, timeout=seconds)
    home = home or default()
    client = launch.client(home, home.endpoint(), seconds)
    try:
        return client.text(method, *arguments)
    except ClientError as error:
        raise CliError(str(error), error.code) from None
    finally:
        client.close()


def lines(answer: Mapping[str, Any], accepted: bool) -> Iterator[str]:
    """The answer of onecore.reconcile for people."""
    yield _head(answer, accepted)
    yield from _table(("HOST", "NAME", "STATE", "FINDINGS", "COMPARED"), [_host(host) for host in answer["hosts"]])
    rows = [row for host in answer["hosts"] for row in _findings(host)]
    yield from _table(("HOST", "VM", "NAME", "FOUND", "RECORDED", "WHAT"), rows)
    if answer["held"]:
        yield ""
        yield (
            f"held: {answer['waiting']} commands and {answer['owed']} clean-ups wait; "
            "`onecore reconcile --accept` lets them go"
        )


def _head(answer: Mapping[str, Any], accepted: bool) -> str:
    if answer["held"]:
        return f"restored on {_time(answer['restored'])} from a backup of {_time(answer['backup'])}"
    taken = f"; VMs taken over as they run: {', '.join(map(str, answer['adopted'])) or 'none'}"
    return f"accepted{taken}" if accepted else "this cloud is not held"


def _time(seconds: int) -> str:
    return time.strftime("%F %T UTC", time.gmtime(seconds))


def _table(names: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    return ["", *sections.grid([(name, 4, name not in ("HOST", "VM")) for name in names], rows)] if rows else []


def _host(host: Mapping[str, Any]) -> list[str]:
    number = sum(len(host[kind]) for kind in ("wild", "moved", "changed", "missing"))
    compared = "yes" if host["compared"] else f"no: {host['error']}" if host["error"] else "no"
    return [str(host["id"]), host["name"], host["state"], str(number), compared]


def _findings(host: Mapping[str, Any]) -> Iterator[list[str]]:
    for kind in ("wild", "moved", "changed", "missing"):
        for each in host[kind]:
            found = "" if kind == "missing" else f"{each['state']}, generation {each['generation']}"
            yield [str(host["id"]), str(each["id"]), each["name"], found, _recorded(kind, each), _what(kind, each)]


def _recorded(kind: str, each: Mapping[str, Any]) -> str:
    if kind == "missing":
        return f"{each['state']}, generation {each['generation']}"
    known = each.get("recorded")
    if not known:
        return ""
    where = f" on host {known['host']}" if known["host"] >= 0 else " on no host"
    return f"{known['state']}{where if kind == 'moved' else ''}, generation {known['generation']}"


def _what(kind: str, each: Mapping[str, Any]) -> str:
    if kind != "changed":
        return WHAT[kind]
    newer = each["generation"] > each["recorded"]["generation"]
    return "started again since; taken over once this is accepted" if newer else "older than recorded; left alone"
