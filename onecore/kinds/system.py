"""Methods about the cloud itself: versions, configuration, events, status."""
from __future__ import annotations

import json

import onecore
from onecore.api import Body, Request, method
from onecore.errors import BadArgument
from onecore.kinds import retention, verbs
from onecore.kinds.datastore import TM_CONF
from onecore.kinds.kind import KINDS, lookup
from onecore.kinds.restore import told
from onecore.lifecycle.outbox import Owed
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes


@method("one.system.version", reads=True)
def version(req: Request) -> str:
    """The OpenNebula release whose API is answered."""
    return onecore.API_VERSION


@method("onecore.dryrun")
def dryrun(req: Request, method: str = "") -> int:
    """Try a METHOD with the arguments that follow: the same answer, or error, and nothing is done."""
    raise BadArgument(f"method must name one that changes something and can be tried, not {method[:60]!r}")


@method("onecore.version", reads=True)
def own_version(req: Request) -> str:
    """onecore's own version."""
    return onecore.__version__


@method("one.system.config", reads=True)
def config(req: Request) -> Body:
    """What of the configuration has a name in OpenNebula's; there is no secret in it."""
    c = req.core.config
    simple = {"API_LIST_ORDER": "ASC", "DEFAULT_AUTH": "default", "DEFAULT_DEVICE_PREFIX": c.defaults.device_prefix,
              "DEFAULT_IMAGE_TYPE": "OS", "DEFAULT_UMASK": c.defaults.umask, "LISTEN_ADDRESS": c.server.listen,
              "MAC_PREFIX": c.defaults.mac_prefix, "MONITORING_INTERVAL_DATASTORE": str(c.monitoring.datastore_period),
              "MONITORING_INTERVAL_HOST": str(c.monitoring.host_period), "PORT": str(c.server.port),
              "SESSION_EXPIRATION_TIME": str(c.auth.session_expiration)}
    body = "".join(xmlbody.text(k, v) for k, v in sorted(simple.items()))
    conf = "".join("<TM_MAD_CONF>" + "".join(xmlbody.text(k, v) for k, v in {"NAME": name, **values}.items())
                   + "</TM_MAD_CONF>" for name, values in TM_CONF.items())
    ports = f"<VNC_PORTS><RESERVED></RESERVED>{xmlbody.text('START', str(c.defaults.vnc_base_port))}</VNC_PORTS>"
    return Body([escape_bytes(f"<OPENNEBULA_CONFIGURATION>{body}{conf}{ports}</OPENNEBULA_CONFIGURATION>")])



async def _purge(req: Request, before: int) -> int:
    verbs.administers(req, "PURGE")
    return await retention.purge_done(req.core, before)


@method("onecore.purge", prepare=_purge, dry=False)
def purge(req: Request, before: int) -> int:
    """Forget the VMs that were DONE before a Unix second; how many they were."""
    return int(req.prepared)


@method("onecore.status", reads=True)
def status(req: Request) -> str:
    """How the core is, as JSON."""
    verbs.administers(req, "STATUS")
    core = req.core
    under_way = [{"kind": box.kind, "id": box.oid, "command": box.command, "since": box.since,
                  "step": progress.step if progress else "", "done": progress.done if progress else 0,
                  "total": progress.total if progress else 0} for box, progress in core.dispatcher.under_way()]
    return json.dumps({
        "version": onecore.__version__, "api": onecore.API_VERSION, "epoch": core.epoch, "home": str(core.home),
        "started": core.kinds["started"], "uptime": core.now() - core.kinds["started"], "pid": core.kinds["pid"],
        "sequence": {"given": core.store.given, "durable": core.store.durable},
        "counts": {name: len(core.store.tables[kind.record])
                   for name, kind in KINDS.items() if name in core.kinds and lookup(core, name)},
        "held": told(core), "owed": len(core.store.all(Owed)), "under_way": under_way,
        "drivers": core.kinds["drivers"](),
        "sizes": {"database": core.database.size(), "series": core.series.size()}, "last_event": core.changelog.last})
