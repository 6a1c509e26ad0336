"""The composition root: the only place that knows every part.  Builds the core, loads it, keeps it going, stops it."""
from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from onecore.auth.acl import Rules
from onecore.auth.guesses import Guesses
from onecore.auth.password import Passwords
from onecore.auth.people import mapping
from onecore.auth.sessions import Sessions
from onecore.config import Config, ConfigError, names
from onecore.kinds import KINDS, optimize, reconcile, retention, sealed, usage
from onecore.kinds.acl import AclRule
from onecore.kinds.bootstrap import bootstrap, offer_credentials, scheduler_token
from onecore.kinds.datastore import monitor_all
from onecore.kinds.group_admins import revoke_all
from onecore.kinds.hook.methods import follow
from onecore.kinds.hook.runner import Runner
from onecore.kinds.host import ha, watch
from onecore.kinds.host.record import Samples
from onecore.kinds.image import work as image_work
from onecore.kinds.image.record import Image
from onecore.kinds.kind import add_indexes
from onecore.kinds.quota.guard import Guard
from onecore.kinds.quota.record import Quota
from onecore.kinds.quota.sums import Sums
from onecore.kinds.quota.usage import Usage
from onecore.kinds.restore import Gaps, compared, held, off
from onecore.kinds.secgroup import members_of
from onecore.kinds.user import User
from onecore.kinds.vm import commands, due, news
from onecore.kinds.vm.body import Bodies
from onecore.kinds.vm.effects import owe_guest
from onecore.kinds.vm.exec import give_up_lost
from onecore.kinds.vm.fire import fire as fire_vm
from onecore.kinds.vm.fire import state_of
from onecore.kinds.vm.owner_places import Places
from onecore.kinds.vm.ports import Ports
from onecore.kinds.vm.record import Vm, VmText, membership
from onecore.kinds.vm.shape import is_read
from onecore.kinds.vm.states import LIVE
from onecore.kinds.vnet.record import Lease, Range
from onecore.kinds.vnet.taken import Free
from onecore.lifecycle.calendar import Calendar, trigger
from onecore.lifecycle.clock import Clock
from onecore.lifecycle.core import Core
from onecore.lifecycle.dispatcher import Dispatcher, Transport
from onecore.lifecycle.operations import Operations
from onecore.lifecycle.outbox import Outbox
from onecore.log import Log
from onecore.pool.answered import Answered
from onecore.pool.changelog import ChangeLog
from onecore.pool.database import Database, DatabaseError, lock_home
from onecore.pool.migrations import migrate
from onecore.pool.record import Record
from onecore.pool.restore import READY, Gap, Hold, Restored, finish, restore
from onecore.pool.series import Series
from onecore.pool.store import Counter, Groups, Members, Store, Tx
from onecore.pool.writer import Late, Writer
from onecore.request import repeats
from onecore.wire.messages import News, Result, Sample

RELOADS = 10
"""How often loading again is tried after a failed commit before the process gives up."""


class TakenOver(DatabaseError):
    """Another oned has the database: this one must end."""


def record_classes() -> list[type[Record]]:
    """Every record class of every kind."""
    found: list[type[Record]] = [Counter, Outbox, AclRule, Hold, Gap, Answered, Quota]
    for kind in KINDS.values():
        found += [kind.record, *kind.classes]
    return list(dict.fromkeys(found))


def check(config: Config) -> Config:
    """CONFIG, if what only its users can judge is right too; raises ConfigError naming the key."""
    try:
        trigger(config.retention.schedule)
    except ValueError as error:
        raise ConfigError(f"retention.schedule must be a crontab line such as '*/5 * * * *': {error}") from None
    try:
        mapping(config.ldap.groups)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    sealed.check(config, is_read)
    return config


GAPS = {**dict.fromkeys((*KINDS, "acl", "scheduled"), 100), "vm": 1000}
"""How many ids a restored cloud leaves out, by kind: they may have been given after the backup."""


def database_of(config: Config, home: Path) -> Database:
    """The database of a home, not locked."""
    return Database(home, config.database.url, record_classes())


def restore_backup(home: Path, stream: IO[bytes], url_of: Callable[[Path], str], force: bool) -> Restored:
    """Put a backup in place of what HOME holds; URL_OF(its files) says where the database shall be."""
    return restore(home, stream, record_classes(), url_of, GAPS, force)


def finish_restore(home: Path) -> None:
    """Complete a restore that was cut off, before anything of the home is read; raises DatabaseError."""
    if (home / READY).is_dir():
        with lock_home(home):
            finish(home, record_classes())


def open_database(config: Config, home: Path) -> tuple[Database, str]:
    """Lock the home, bring the schema up to date; returns what was done.  Raises DatabaseError."""
    database = database_of(config, home)
    database.lock()
    return database, migrate(database)


def build(config: Config, home: Path, database: Database, clock: Clock, log: Log, transport: Transport,
          rng: random.Random) -> Core:
    """A core with its indexes and wiring, not loaded yet."""
    store = Store(record_classes(), clock.time)
    dispatcher = Dispatcher(store, transport, clock, log, float(config.deadlines.grace))
    core = Core(config, home, database, store, clock, log, dispatcher, ChangeLog(database), Series(home / "monitor.db"),
                Passwords(config.auth.argon2_time_cost, config.auth.argon2_memory_kb),
                Sessions(rng.randbytes(32), clock.monotonic, float(config.auth.session_expiration)), rng, Operations(),
                Guesses(clock.monotonic))
    _index(core)
    _wire(core)
    store.on_events = core.changelog.publish
    store.on_bug = lambda bug: log.error("what follows a commit failed", error=bug)
    return core


def _index(core: Core) -> None:
    for kind in KINDS.values():
        add_indexes(core, kind)
    usage.add_indexes(core)
    due.add_indexes(core)
    free, ranges = Free(), Groups[Range](lambda r: r.vnet)
    by_datastore = Groups[Image](lambda i: i.ds_id)
    cloning = Groups[Image](lambda i: i.cloning_id if i.cloning_id >= 0 else None)
    ports = Ports()
    core.store.index(VmText, ports)
    by_secgroup = Members[VmText](lambda text: () if text.done else members_of(text.template))
    core.store.index(VmText, by_secgroup)
    by_vmgroup = Members[VmText](lambda text: () if text.done else membership(text.template))
    core.store.index(VmText, by_vmgroup)
    core.store.index(Lease, free)
    core.store.index(Range, ranges)
    core.store.index(Range, free.reserved)
    core.store.index(Image, by_datastore)
    core.store.index(Image, cloning)
    in_groups = Members[User](lambda u: u.gids)
    core.store.index(User, in_groups)
    rules, bodies = _Rules(), Bodies()
    bodies.follow(core.store)
    places = Places()
    places.follow(core.store)
    core.store.index(AclRule, rules)
    gaps = Gaps()
    core.store.index(Gap, gaps)
    core.kinds.update({"secgroup.members": by_secgroup, "vmgroup.members": by_vmgroup})
    core.kinds["hook.calls"] = set()
    sealed.prepare(core, sealed.fields_of({VmText: ("vm", ("template", "user"))}))
    used = Sums(names(core.config.tenants.quota_vm_attributes))
    Usage(used).follow(core.store)
    guard = Guard(core.store, used)
    core.store.guards.append(guard)
    core.kinds.update({"quota.used": used, "quota.guard": guard})
    core.kinds.update({"vnet.free": free, "vnet.ranges": ranges, "image.by_datastore": by_datastore,
                       "image.cloning": cloning, "acl.rules": rules.rules, "vm.places": places, "samples": Samples(),
                       "vm.bodies": bodies,
                       "datastore.room": {}, "pid": os.getpid(), "started": int(core.clock.time()), "drivers": dict,
                       "cloud": "", "vm.gaps": gaps, "vm.ports": ports, "user.groups": in_groups})


class _Rules:
    """Has the ACL rules in force follow their records."""

    def __init__(self) -> None:
        self.rules = Rules()

    def change(self, old: AclRule | None, new: AclRule | None) -> None:
        """Follow the records."""
        if old is not None:
            self.rules.remove(old.oid, old.rule())
        if new is not None:
            self.rules.add(new.oid, new.rule())


def _wire(core: Core) -> None:
    """Who hears what from the drivers."""
    dispatcher = core.dispatcher
    dispatcher.compose = {"vm": lambda box: commands.compose(core, box),
                          "image": lambda box: image_work.compose(core, box)}
    dispatcher.take = {"vm": lambda tx, box, result: _vm_result(tx, core, box, result),
                       "image": lambda tx, box, result: image_work.take(tx, core, box, result)}
    dispatcher.hold = lambda command, kind, oid: off(core, command, kind, oid)
    dispatcher.on_sample = lambda sample: _sample(core, sample)
    dispatcher.on_news = lambda told: None if ha.expects(core, told) or _doubted(core, told) else news.take_news(
        core, told)
    dispatcher.on_up.append(lambda family: watch.driver_up(core, family))
    dispatcher.on_up.append(lambda family: monitor_all(core) if family == "tm" else None)
    core.kinds["user.leaves"] = revoke_all
    core.kinds["vm.observe"] = lambda tx, oid, event: news.observe(tx, core, oid, event)
    core.kinds["vm.roster"] = lambda host, sample: news.take_roster(
        core, host, reconcile.alive_only(sample) if held(core) else sample)
    core.kinds["vm.images_changed"] = lambda tx, image: news.images_changed(tx, core, image)


def _sample(core: Core, sample: Sample) -> None:
    reconcile.look(core, sample)
    watch.take(core, sample)


def _doubted(core: Core, told: News) -> bool:
    """Whether NEWS would change a held cloud's records: that a guest is gone shows in `onecore reconcile` instead."""
    return held(core) and told.state != "running"


def _vm_result(tx: Tx, core: Core, box: Outbox, result: Result) -> None:
    vm = tx.get(Vm, box.oid)
    if vm is None or vm.op != box.op:
        return
    action = box.command.split(".")[1]
    vm = replace(vm, op_attempt=max(vm.op_attempt, box.attempt))  # it was tried again: the next step is a later attempt
    info = {k: v for k, v in result.data.items() if k not in ("error", "owed")}
    vm = fire_vm(tx, core, vm, f"{action}.{_outcome(action, result)}", error=result.error, **info)
    if result.data.get("owed") and vm.hid >= 0 and state_of(vm) not in LIVE:  # what should run is no debt
        owe_guest(tx, core, vm, {})


def _outcome(action: str, result: Result) -> str:
    """ok or fail; of a live migration the place where the guest is, lost when nobody knows."""
    if action != "migrate":
        return "ok" if result.ok else "fail"
    where = "to" if result.ok else result.data.get("where", "unknown")
    return {"to": "ok", "from": "fail"}.get(str(where), "lost")


def load(core: Core) -> None:
    """Read everything that SQL has."""
    store = core.store
    for cls in store.tables:
        store.load(core.database.load(cls))
    store.given = store.durable = core.database.meta("seq")
    core.changelog.load(store.durable)
    core.changelog.first_kept = max(core.changelog.first_kept, core.database.meta("log_from"))
    core.kinds["cloud"] = str(core.database.meta("cloud"))


def start(core: Core, writer: Writer) -> None:
    """A new epoch: load, make what a new cloud holds, bring up the drivers."""
    core.epoch = core.database.meta("epoch") + 1
    core.database.set_meta("epoch", core.epoch)
    if not core.database.meta("cloud"):
        core.database.set_meta("cloud", core.random.getrandbits(48))
    core.dispatcher.epoch = core.epoch
    load(core)
    core.store.writer = writer
    bootstrap(core)
    scheduler_token(core)
    offer_credentials(core)
    if sealed.seal_what_is_not(core):
        core.log.info("attributes that are encrypted now were sealed")
    give_up_lost(core)
    core.dispatcher.start()


def keep_going(core: Core) -> None:
    """Periodic work, and what follows the change log."""
    core.kinds["hooks"] = hooks = Runner(core)
    follow(core)
    core.kinds["hooks.task"] = asyncio.get_running_loop().create_task(_forever(core, hooks.run))
    clock, monitoring = core.clock, core.config.monitoring
    clock.every(1.0, core.log.flush)
    clock.every(1.0, lambda: watch.check_silence(core))
    clock.every(60.0, lambda: repeats.forget_old(core))
    clock.every(ha.EVERY, lambda: ha.check(core))
    clock.every(10.0, core.dispatcher.check_drivers)
    clock.every(2.0, lambda: core.dispatcher.release() if held(core) and compared(core) else None)
    clock.every(1.0, lambda: optimize.advance(core))
    clock.every(float(monitoring.datastore_period), lambda: monitor_all(core))
    clock.every(0.5, background(core, lambda: asyncio.to_thread(core.log.flush_vms)))
    clock.every(5.0, background(core, lambda: watch.write_series(core)))
    Calendar(clock, core.config.retention.schedule, background(core, lambda: retention.purge_all(core)))


async def _forever(core: Core, work: Callable[[], Any]) -> None:
    """WORK, begun again after an error."""
    while not core.changelog.closing:
        try:
            await work()
        except Exception as error:  # a bug, told; the work goes on
            core.log.error("running hooks failed", error=error)
            await asyncio.sleep(5)


def background(core: Core, work: Callable[[], Any]) -> Callable[[], None]:
    """A call that begins WORK, unless it is still at it; an error is logged and the next call tries again."""
    running: set[asyncio.Task[Any]] = set()

    async def once() -> None:
        try:
            await work()
        except Exception as error:  # the next round tries again
            core.log.error("background work failed", error=error)

    def begin() -> None:
        if not running:
            task = asyncio.get_running_loop().create_task(once())
            running.add(task)
            task.add_done_callback(running.discard)
    return begin


def reload(core: Core, error: BaseException) -> None:
    """After a failed commit: forget, read again what SQL has; nothing can be stored before `resume`.

    Who waits for what SQL has after all gets its answer, all others ERROR.  Raises DatabaseError when SQL stays away.
    """
    _check_epoch(core)
    core.store.settle(core.database.meta("seq"), error)
    core.dispatcher.forget()
    core.sessions.clear()
    core.whole = False
    core.store.clear()
    core.kinds["vm.bodies"].clear()
    load(core)
    core.whole = True
    core.changelog.wake_all()
    watch.listen_anew(core)


def resume(core: Core, resume_writer: Callable[[int], None]) -> None:
    """Go on after `reload`: store again, send what the outbox holds; raises what SQL raises when it takes no writes."""
    if not core.whole:
        reload(core, DatabaseError("what is stored could not be loaded"))
    try:
        resume_writer(core.store.durable)
    except Late as late:
        core.log.warning(f"loading again: {late}")
        reload(core, late)
        resume_writer(core.store.durable)
    _check_epoch(core)
    core.store.refuses = ""
    give_up_lost(core)
    for box in sorted(core.store.all(Outbox), key=lambda b: b.op):
        core.dispatcher.send(box.op)


def _check_epoch(core: Core) -> None:
    found = core.database.meta("epoch")
    if found != core.epoch:
        raise TakenOver(f"another oned took the database over (epoch {found}, this one has {core.epoch})")


__all__ = ["DatabaseError", "build", "keep_going", "load", "open_database", "reload", "resume", "start"]
