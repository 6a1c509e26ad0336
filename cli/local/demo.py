"""What `onecore up --dummy HOSTS` adds: hosts and datastores that exist only in the dummy drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cli.errors import CliError, one_line
from cli.local.home import Home

if TYPE_CHECKING:
    from onecore.wire.client import Client

MOST_HOSTS = 10_000
_STORES = (
    ("system", "1", "TM_MAD", 'NAME="dummy_system"\nTYPE="SYSTEM_DS"\nTM_MAD="dummy"\n'),
    ("image", "0", "DS_MAD", 'NAME="dummy_images"\nTYPE="IMAGE_DS"\nDS_MAD="dummy"\nTM_MAD="dummy"\n'),
)
"""(what, TYPE in its body, the driver that must be dummy, template)."""


def prepare(home: Home) -> None:
    """In a home that is new and has no configuration, make the datastores of the start dummy ones too."""
    if not home.config.exists() and not home.auth.exists():
        home.path.mkdir(parents=True, exist_ok=True)
        home.config.write_text(
            '# Written by `onecore up --dummy`.\n[defaults]\nsystem_tm = "dummy"\n', encoding="utf-8"
        )


def register(client: Client, hosts: int, tell: Callable[[str], None]) -> None:
    """Register dummy001 to HOSTS and the datastores, those that are not there; raises CliError."""
    from onecore.wire.client import ClientError

    try:
        made = _hosts(client, hosts)
        stores = _stores(client)
    except ClientError as error:
        raise CliError(one_line(error), error.code) from None
    tell(f"{hosts} dummy hosts, {made} of them new" + "".join(f"; {what} datastore {oid}" for what, oid in stores))


def _hosts(client: Client, hosts: int) -> int:
    from onecore.wire import xmlbody

    known = {e.findtext("NAME") for e in xmlbody.read(client.text("one.hostpool.info")).findall("HOST")}
    missing = [name for name in (f"dummy{i:03d}" for i in range(1, hosts + 1)) if name not in known]
    for name in missing:
        client.call("one.host.allocate", name, "dummy", "dummy", -1)
    return len(missing)


def _stores(client: Client) -> list[tuple[str, int]]:
    from onecore.wire import xmlbody

    known = xmlbody.read(client.text("one.datastorepool.info")).findall("DATASTORE")
    made = []
    for what, number, driver, template in _STORES:
        if not any(e.findtext("TYPE") == number and e.findtext(driver) == "dummy" for e in known):
            made.append((what, client.number("one.datastore.allocate", template, -1)))
    return made
